package main

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// seconds is a duration flag written as a number of seconds, as exporters do for --timeout-offset.
type seconds time.Duration

func (s *seconds) Set(text string) error {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(value) || value < 0 || value > 3600 {
		return fmt.Errorf("%q is not a number of seconds", text)
	}
	*s = seconds(value * float64(time.Second))
	return nil
}

func (s *seconds) String() string {
	return strconv.FormatFloat(time.Duration(*s).Seconds(), 'g', -1, 64)
}
