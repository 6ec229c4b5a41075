"""What people are told of: runs and jobs that ended, questions and answers, wishes; on a page, and by e-mail."""
