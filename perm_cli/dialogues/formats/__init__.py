"""
Formats of dialogues, one module each.

    sources ─► containers ─► rows ─► a format ─► dialogues
               (what a file is)     (what its rows mean)

A format is a module with `SAYS` (what its files look like), `ROLES` (its role names), `recognises` and `read`;
adding one means writing that module, of the steps in `files.records`, and naming it in `registry.FORMATS` and `words`.
"""
