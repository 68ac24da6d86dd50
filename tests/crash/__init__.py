"""The crash harness: a store and a node are killed and cut off the power; what they promised stays.

A writer plays a real store and tells each fact over a pipe before it writes it and once it is
acknowledged. Its parent keeps those facts outside the database. After each crash the store is
opened in a process of its own and compared, table by table, with what the facts make.

    facts       what goes over the pipe
    telling     a store that says what it does
    writer      the process that dies
    failpoints  where exactly it dies
    reference   the facts folded anew, and how a store is compared with them
    database    one database over many lives
    kills       `kill -9` of a store
    power       power cuts: a file system in an image, copied in the middle of everything
    nodes       `kill -9` of whole nodes
    launch      the command line of a node that dies by itself
    children    processes that are forked, heard, halted, killed
    report      one line for each part; a part that must see losses has to see them

`python -m tests.crash` runs all of it.
"""
