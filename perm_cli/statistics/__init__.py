"""
The statistics of judges: means, agreement, rankings, calibration, each with the interval that resampling gives.

What is resampled are dialogues, with all their turns and systems: scores of one dialogue are no independent draws.
Functions take plain arrays, with NaN where a score is missing, and are exact; what cannot be worked out is NaN, and
`resampling.Statistic` says why. Nothing here knows a dialogue, a rating or a run: the modules import no other of the
program, so that whatever has numbers may use them, from the summary of a run to a comparison of judges.
SciPy is imported here and nowhere else, and not by what the summary of a run needs: it takes seconds and 60 MB.
"""
