"""What finished runs say: read, averaged over seeds, compared, drawn and put on a page.

Never imports torch, so that a report begins at once.
"""
