"""What the exact solvers share: the halved problem, the two ways to join its halves, and the growing window."""
