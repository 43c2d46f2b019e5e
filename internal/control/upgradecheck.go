package control

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed" // upgradecheck.php
	"encoding/json"
	"fmt"
)

//go:embed upgradecheck.php
var upgradeScript []byte

// Readiness is what keeps the code from upgrading the database, by its own word.
type Readiness struct {
	Environment []string // what PHP, its extensions and settings or the database server lack, in the site's language
	Plugins     []string // components whose requirements are not met
	Stale       bool     // files of older versions lie in the code
}

// CheckReady asks the code for all that upgrade.php looks at before it begins, and would name one at a time. It changes
// nothing; with a configuration of StageConfig it leaves no trace in the live site either.
func (c CLI) CheckReady(ctx context.Context) (Readiness, error) {
	const what = "the checks before an upgrade"
	mark := "moodle-exporter-" + rand.Text() + ":"
	output, err := c.start(ctx, what, bytes.NewReader(upgradeScript), "--", c.dir(), mark)
	if err != nil {
		return Readiness{}, fmt.Errorf("ask whether the code could upgrade the database: %w", err)
	}
	var read struct {
		OK          bool     `json:"ok"`
		Environment []string `json:"environment"`
		Plugins     []string `json:"plugins"`
		Stale       bool     `json:"stale"`
	}
	line, printed := cutAnswer(output, mark)
	if !printed || json.Unmarshal([]byte(line), &read) != nil {
		return Readiness{}, fmt.Errorf("ask whether the code could upgrade the database: %w", &ScriptError{Script: what, Said: oneLine(output), Err: errNotUnderstood})
	}
	if !read.OK && len(read.Environment) == 0 {
		read.Environment = []string{"Moodle's environment check fails without saying why"}
	}
	return Readiness{Environment: read.Environment, Plugins: read.Plugins, Stale: read.Stale}, nil
}
