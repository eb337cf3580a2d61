"""`pause-notifications suppressions`: addresses that get no e-mail, on our list and on SES's."""
