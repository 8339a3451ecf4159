//go:build linux

package main

import (
	"fmt"
	"os"

	"github.com/eyewall/eyewall/bench/internal/report"
	"github.com/eyewall/eyewall/bench/internal/rows"
)

// write prints the tables and writes the report.
func write(f *flags, run *rows.Run) error {
	var earlier *rows.Run
	if f.compare != nil {
		earlier = f.compare
	}
	report.Text(os.Stdout, run, earlier)
	if f.report == "" {
		return nil
	}
	if err := os.WriteFile(f.report, report.HTML(run, earlier), 0o666); err != nil {
		return err
	}
	fmt.Printf("\nThe report is in %s.\n", f.report)
	return nil
}
