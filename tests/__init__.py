"""The tests of minesync, a folder for each floor and for each way of testing."""
