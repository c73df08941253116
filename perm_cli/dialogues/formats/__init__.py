"""
The formats of dialogues, one module each.

    sources ─► containers ─► rows ─► a format ─► dialogues
               (what a file is)     (what its rows mean)

To add one, write a module here that ends in its `FORMAT`, and put the module's name into `words.FormatName`.
"""
