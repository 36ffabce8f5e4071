"""
Jobs, from before they are sent until their video stands where it is wanted: written down, sent once, never lost.

`jobs` takes in what is asked for and what dead processes left; `dispatch` lets each of them go when its turn comes, and
`submitter` sends it. `outcomes` says what a failure means, `errand` whether the job may be sent again, and
`questions` settles what stays unknown. `deliveries` takes in what the provider calls us for, and `unclaimed` keeps what
nobody here knows yet. `saving` brings videos to disk; `journal` writes all of it down.
"""
