"""What a judge is sent: rubrics (the questions), fences (the quoted dialogue), and the book that renders both."""
