package job

import (
	"bytes"
	"context"
	"testing"
	"time"
)

// TestFollowRunThatWasReplaced: the next run has taken the record, and perhaps a crash the history.
func TestFollowRunThatWasReplaced(t *testing.T) {
	runner := testRunner(t.TempDir())
	now := time.Now()
	runner.Clock = func() time.Time { return now }
	var seen []Record
	for range 2 {
		err := runner.Do(t.Context(), Spec{Job: "backup", Site: "lms"}, func(_ context.Context, run *Run) error {
			run.Logger.Info("words of " + run.ID())
			seen = append(seen, only(t, runner))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
	}
	lost := seen[0]
	lost.ID = "20200101T000000Z"
	for _, test := range []struct {
		run  Record
		want State
		says string
	}{{seen[0], OK, "words of " + seen[0].ID}, {lost, Interrupted, ""}} {
		var log bytes.Buffer
		follower := Follower{StateDir: runner.StateDir, ProcRoot: "/proc", Every: time.Millisecond, Log: &log, Watch: func(Record) {}}
		ended, err := follower.Follow(t.Context(), test.run)
		if err != nil || ended.State != test.want || ended.ID != test.run.ID || !bytes.Contains(log.Bytes(), []byte(test.says)) {
			t.Errorf("%+v, %v, log %s", ended, err, log.String())
		}
	}
}
