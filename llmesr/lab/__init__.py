"""What if a text were another: products that are not there yet, edited texts, and which texts to repair first.

change      items with new text: products that are not there yet, other words for those that are
rewritten   a run as it scores them, without training anything; which runs can
audience    who is asked, and at which rank each of them would see an item
launch      a new product: who would get it, why, beside what
past        how such forecasts came out for past launches
edit        an existing item under another text
flaws       texts that are missing, untitled, short or the same as another's
repair      which of them to write first, by the users who could gain
document    all of it as JSON
"""
