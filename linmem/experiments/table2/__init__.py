"""L18's table 2, on the four sets of polyphonic music: experiments table2_fair and table2_paper."""
