"""L18's table 2, on the four sets of polyphonic music: experiments table2_fair, table2_fair_large and table2_paper."""
