"""Who may ask for how much: keys, limits, budgets, and what replicas of the router share of them in Redis."""
