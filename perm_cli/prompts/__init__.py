"""What a judge is sent: rubrics (what is asked), fences (what was said), and the book that renders both."""
