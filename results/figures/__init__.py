"""Figures of a report; conf/figure/ says which there are."""
