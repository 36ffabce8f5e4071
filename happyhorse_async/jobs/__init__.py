"""
Jobs, from before they are sent until their video stands where it is wanted: written down, sent once, never lost.

`jobs` takes in what is asked for and what dead processes have left; `submitter` sends it, and `outcomes` says what a
failure of that means; `questions` settles what stays unknown; `deliveries` takes in what the provider calls us for, and
`unclaimed` keeps what nobody here knows yet; `saving` brings videos to disk; `journal` writes all of it down.
"""
