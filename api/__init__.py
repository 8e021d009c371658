"""The doors of Pingti: REST and dashboard (app, server), command line (cli)."""
