package main

import "fmt"

// budget is one promise beside what was measured.
type budget struct {
	what     string
	measured float64
	limit    float64
	atLeast  bool // the limit is a lower one
}

func (b budget) kept() bool {
	if b.atLeast {
		return b.measured >= b.limit
	}
	return b.measured <= b.limit
}

// show prints each with its verdict.
func show(title string, budgets ...budget) {
	fmt.Printf("%-58s %10s %10s\n", title, "measured", "promised")
	for _, b := range budgets {
		sign, verdict := "<=", "pass"
		if b.atLeast {
			sign = ">="
		}
		if !b.kept() {
			verdict = "OVER"
		}
		fmt.Printf("  %-56s %10.2f %4s %5g  %s\n", b.what, b.measured, sign, b.limit, verdict)
	}
	fmt.Println()
}
