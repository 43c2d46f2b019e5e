package proof_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// victim is a job that is attacked. What the last peaceful run took tells where to strike.
type victim struct {
	name   string // of the job
	words  []string
	makes  bool // a backup
	damage bool // is content of the pool, sometimes, for it to find
	keeps  int  // so many of the newest backups stay, whatever happens to the run

	usual time.Duration
	steps []step
}

type step struct {
	Name    string
	Started time.Time
	Ended   *time.Time
}

var (
	backups  = &victim{name: "backup", words: []string{"backup"}, makes: true, keeps: kept - 1}
	prunes   = &victim{name: "prune", words: []string{"backup", "prune"}, keeps: 1}
	verifies = &victim{name: "verify", words: []string{"backup", "verify", "all", "--read-data"}, damage: true, keeps: kept}

	victims = []*victim{backups, verifies, copies, prunes}
)

// turn is one attack on one victim.
type turn struct {
	victim *victim
	kind   kind
}

// turns are taken one after the other, again and again.
var turns = []turn{
	{backups, killRun}, {verifies, killRun}, {backups, killRun}, {prunes, killRun},
	{copies, killRun}, {backups, sigTerm}, {backups, killRun}, {verifies, killRun}, {backups, killDumper},
	{prunes, killRun}, {copies, killRun}, {backups, killRun}, {verifies, sigTerm}, {backups, killServerDumping},
	{copies, sigTerm}, {backups, killRun}, {verifies, killRun}, {prunes, sigInt}, {backups, killRun},
	{copies, killRun}, {prunes, killRun}, {backups, killServerAnytime}, {backups, killRun}, {backups, sigInt},
}

// inPeace runs a job that must succeed, and remembers how it went.
func (s *site) inPeace(t *testing.T, v *victim) {
	t.Helper()
	began := time.Now()
	s.output(t, s.wordsOf(v)...)
	v.took(time.Since(began))
	v.steps = s.stepsOf(t, v)
}

// took learns the usual time. A machine that was busy with something else for once does not make it.
func (v *victim) took(time time.Duration) {
	if v.usual == 0 {
		v.usual = time
	}
	v.usual = min(time, v.usual+v.usual/4)
}

// wordsOf is the command line. Pruning has a stricter configuration than the backups that come before it,
// so that it has something to remove.
func (s *site) wordsOf(v *victim) []string {
	config := map[*victim]string{prunes: s.strict, copies: s.offsite}[v]
	if config == "" {
		config = s.config
	}
	return append(v.words, "--config.file="+config)
}

// stepsOf are the steps in the record of a job's last run, finished or not.
func (s *site) stepsOf(t *testing.T, v *victim) []step {
	t.Helper()
	var record struct{ Steps []step }
	content, err := os.ReadFile(s.recordPath(v))
	must(t, err)
	must(t, json.Unmarshal(content, &record))
	return record.Steps
}

func (s *site) recordPath(v *victim) string {
	return filepath.Join(s.state(), "jobs", "lms", v.name+".json")
}

// verify proves that every backup is what it was when it was written.
func (s *site) verify(t *testing.T) {
	t.Helper()
	s.output(t, s.wordsOf(verifies)...)
}

// damage flips a byte of a content file in the pool which all backups need, and the site keeps.
func (s *site) damage(t *testing.T) string {
	t.Helper()
	file, err := os.OpenFile(s.inPool(s.pinned[0]), os.O_RDWR, 0)
	must(t, err)
	one := make([]byte, 1)
	_, err = file.ReadAt(one, 0)
	must(t, err)
	one[0] ^= 1
	_, err = file.WriteAt(one, 0)
	must(t, err)
	must(t, file.Close())
	return s.pinned[0]
}

// verifyFinds proves that damage is still found, and named, after a run that may have moved it.
func (s *site) verifyFinds(t *testing.T, hash string) {
	t.Helper()
	command := s.command(s.wordsOf(verifies)...)
	output, err := command.CombinedOutput()
	if err == nil || command.ProcessState.ExitCode() != 1 || !strings.Contains(string(output), hash) {
		t.Errorf("content file %s is damaged, and verify says (%v): %s", hash, err, output)
	}
}

func (s *site) inPool(hash string) string {
	return filepath.Join(s.backups(), "lms", "pool", "filedir", hash[:2], hash[2:4], hash)
}
