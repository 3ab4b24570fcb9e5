"""Neural style transfer by optimisation, after Gatys, Ecker and Bethge (CVPR 2016)."""
