"""What is measured of answers beside the judge and the target: known answers, a classifier."""
