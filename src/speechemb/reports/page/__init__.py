"""`report.html`: what step 4 found, as one page that opens without a server and lets the clips be heard."""
