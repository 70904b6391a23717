"""A page to try a model in the browser: `seqrec demo` opens it, and `seqrec space` writes it as a Space of the Hub."""
