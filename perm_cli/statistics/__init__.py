"""
Statistics over plain arrays: means, agreement, rankings, calibration and tests, with bootstrap intervals.

Dialogues are resampled whole, with all their turns and systems, because scores within a dialogue are not independent.
Functions take arrays with NaN for a missing score and are exact; a figure that is undefined is NaN, and
`resampling.Statistic` gives the reason. These modules import no other package of the program, so that anything with
numbers can use them, from the summary of a run to a comparison of judges. SciPy is imported only in this package, and
not by `means`, `resampling`, `contrasts` and `multiple`, which the summary of a run needs: it costs seconds and 60 MB.
"""
