//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/eyewall/eyewall/bench/internal/machine"
)

// peerList is -peers, alone or with a list.
type peerList struct{ list *[]string }

func (p peerList) String() string   { return "" }
func (p peerList) IsBoolFlag() bool { return true }

func (p peerList) Set(v string) error {
	switch v {
	case "true":
		*p.list = slices.Clone(peers)
		return nil
	case "false":
		*p.list = nil
		return nil
	}
	return parseWords(v, peers, p.list)
}

// wordsFlag is a list of words, with a default that -help shows.
type wordsFlag struct {
	list  *[]string
	among []string
}

func (w wordsFlag) String() string {
	if w.list == nil {
		return ""
	}
	return strings.Join(*w.list, ",")
}

func (w wordsFlag) Set(v string) error { return parseWords(v, w.among, w.list) }

func words(s *flag.FlagSet, list *[]string, name string, among []string, usage string) {
	s.Var(wordsFlag{list, among}, name, usage)
}

func parseWords(v string, among []string, list *[]string) error {
	*list = nil
	if v == "" {
		return nil
	}
	for w := range strings.SplitSeq(v, ",") {
		switch {
		case among != nil && !slices.Contains(among, w):
			return fmt.Errorf("%q is none of %s", w, strings.Join(among, ", "))
		case w == "":
			return errors.New("an element is empty")
		case !slices.Contains(*list, w):
			*list = append(*list, w)
		}
	}
	return nil
}

// numbersFlag is a list of numbers, likewise.
type numbersFlag struct {
	list     *[]int
	min, max int
}

func (n numbersFlag) String() string {
	if n.list == nil {
		return ""
	}
	var parts []string
	for _, v := range *n.list {
		parts = append(parts, strconv.Itoa(v))
	}
	return strings.Join(parts, ",")
}

func (n numbersFlag) Set(v string) error {
	*n.list = nil
	for w := range strings.SplitSeq(v, ",") {
		i, err := strconv.Atoi(w)
		if err != nil || i < n.min || i > n.max {
			return fmt.Errorf("%q is no number from %d to %d", w, n.min, n.max)
		}
		if !slices.Contains(*n.list, i) {
			*n.list = append(*n.list, i)
		}
	}
	return nil
}

func numbers(s *flag.FlagSet, list *[]int, name string, min, max int, usage string) {
	s.Var(numbersFlag{list, min, max}, name, usage)
}

func cpus(s *flag.FlagSet, list *[]int, name, usage string) {
	s.Func(name, usage, func(v string) (err error) {
		*list, err = machine.ParseCPUs(v)
		return err
	})
}

func parseRates(v string, list *[]float64) error {
	*list = nil
	for w := range strings.SplitSeq(v, ",") {
		r, err := strconv.ParseFloat(w, 64)
		if err != nil || !(r >= 1 && r <= 1e8) {
			return fmt.Errorf("%q is no rate from 1 to 100000000", w)
		}
		if !slices.Contains(*list, r) {
			*list = append(*list, r)
		}
	}
	slices.Sort(*list)
	return nil
}
