"""
The statistics of judges: means, agreement, rankings, calibration, each with the interval that resampling gives.

What is resampled are dialogues, with all their turns and systems: scores of one dialogue are no independent draws.
Functions take plain arrays, with NaN where a score is missing, and are exact; what cannot be worked out is NaN, and
`resampling.Statistic` says why.
"""
