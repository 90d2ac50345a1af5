# SPDX-License-Identifier: Apache-2.0
# One step of sqlite.ts with the SQLite of Python's library.
import sqlite3
import sys

step, path = sys.argv[1:3]
# The file has no neighbours: no journal beside it, no locks. SQLite keeps the journal in memory and may still roll back.
disk = sqlite3.connect(f"file:{path}?vfs=unix-none", uri=True, isolation_level=None)
disk.execute("PRAGMA journal_mode = MEMORY")
disk.execute("PRAGMA synchronous = FULL")

if step == "create":
    disk.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, text TEXT)")
elif step == "insert":
    rows = [("x" * 200,) for _ in range(int(sys.argv[3]))]
    try:
        disk.execute("BEGIN")
        disk.executemany("INSERT INTO log (text) VALUES (?)", rows)
        disk.execute("COMMIT")
        print(f"{len(rows)} rows are in")
    except sqlite3.OperationalError as error:
        if disk.in_transaction:
            disk.execute("ROLLBACK")
        print(f"SQLite reports: {error}")
elif step == "check":
    whole = disk.execute("PRAGMA integrity_check").fetchone()[0]
    rows = disk.execute("SELECT count(*) FROM log").fetchone()[0]
    print(f"integrity: {whole}, {rows} rows")
disk.close()
