package job

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
)

// TestStepsAtTheSameTime: each has its own end and error, whichever began last.
func TestStepsAtTheSameTime(t *testing.T) {
	runner := testRunner(t.TempDir())
	broken := errors.New("broken on purpose")
	during := ""
	_ = runner.Do(t.Context(), Spec{Job: "restore", Site: "lms"}, func(ctx context.Context, run *Run) error {
		first, second := make(chan struct{}), make(chan struct{})
		var both sync.WaitGroup
		both.Go(func() {
			_ = run.Step(ctx, "first", func(context.Context) error { close(first); <-second; return broken })
		})
		<-first
		both.Go(func() {
			_ = run.Step(ctx, "second", func(context.Context) error { during = only(t, runner).AtWork(); close(second); return nil })
		})
		both.Wait()
		return nil
	})
	if during != "first, second" {
		t.Errorf("at work: %q", during)
	}
	record := only(t, runner)
	if i := slices.IndexFunc(record.Steps, func(s Step) bool { return s.Error != "" }); len(record.Steps) != 2 || i != 0 || record.Steps[1].Ended == nil {
		t.Errorf("steps %+v", record.Steps)
	}
	if got := (Record{}).AtWork(); got != "" {
		t.Errorf("nothing has begun, and at work is %q", got)
	}
}
