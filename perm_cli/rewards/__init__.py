"""Fusing ratings into rewards: the formulas, the length term, calibration and the summary."""
