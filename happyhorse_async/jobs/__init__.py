"""
Jobs: from a request to the end of its task, and through every crash in between.

`state` is the table of states and events, from which all conditions of writes are derived; `journal` writes the events.
`intake` records a job or finds the one that has its key. `submit` is the life of a job from its slot to its task, on
the `scheduler` of its `account`; `attempt` decides whether it is sent again, `submit_errors` what a failure means.
`recovery`, `callbacks`, `reconcile` and `auto_download` enter the same life by their own events. `job_errors` turns
errors to data and back.
"""
