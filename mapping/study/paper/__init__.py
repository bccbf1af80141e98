"""Table 1 of Eshraghian et al. 2022 with a number in every row: its challenges and statements, measured."""
