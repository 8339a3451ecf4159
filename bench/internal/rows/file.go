package rows

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Run is a run as a whole.
type Run struct {
	Head Head
	Rows []Row
	Foot Foot
}

// Writer writes a run as it goes on, so that what was measured is kept whatever comes. One made by NewWriter(nil) writes
// nothing.
type Writer struct {
	out io.Writer
	err error
}

// NewWriter writes to out.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Write writes a Head, Row or Foot. The error is the first that occurred.
func (w *Writer) Write(v any) error {
	if w.out == nil || w.err != nil {
		return w.err
	}
	line, err := json.Marshal(v)
	if err == nil {
		_, err = w.out.Write(append(line, '\n'))
	}
	w.err = err
	return err
}

// ReadFile reads what a Writer wrote. A run that was killed has no Foot.
func ReadFile(name string) (*Run, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	run, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return run, nil
}

// Read is ReadFile for anything that can be read.
func Read(in io.Reader) (*Run, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	var run Run
	if !lines.Scan() {
		return nil, errors.Join(lines.Err(), errors.New("it is empty"))
	}
	if err := json.Unmarshal(lines.Bytes(), &run.Head); err != nil || run.Head.Format == 0 {
		return nil, errors.New("its first line is not that of rows saved with -json")
	}
	if run.Head.Format != Format {
		return nil, fmt.Errorf("it has format %d, and this program reads %d", run.Head.Format, Format)
	}
	for n := 2; lines.Scan(); n++ {
		var line struct {
			Row
			Foot
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if !line.Ended.IsZero() {
			run.Foot = line.Foot
			continue
		}
		run.Rows = append(run.Rows, line.Row)
	}
	run.Settle()
	return &run, lines.Err()
}

// Settle puts what became known during the run where it belongs.
func (r *Run) Settle() {
	for i := range r.Head.Servers {
		s := &r.Head.Servers[i]
		s.On = r.Foot.On[s.Name]
	}
}
