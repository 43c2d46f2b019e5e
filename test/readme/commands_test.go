package readme

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// way is how a command that the pages tell of is tried.
type way struct {
	with   string // given as well, unless the command has it or what is under unless: keeps it from harm, and from asking
	unless string
	key    bool     // with copies it wants the private key
	codes  []int    // how it may end; 0 if nothing stands here
	says   string   // what it says in its shortest form
	parsed []string // forms with these words are taken, and then not carried out
	once   bool     // as is every form but the shortest, for it takes long
	needs  bool     // an argument; without it a page only calls the command by its name
	fresh  bool     // it wants a configuration file that is not there yet
}

// done ends well; nothing in it, nothing to say.
var done = way{}

// ways are all commands that the pages may tell of. What is not here has to be thought of first.
var ways = map[string]way{
	"":                      {says: "usage:"},
	"serve":                 done, // see rig.serve
	"probe":                 done,
	"backup create":         done,
	"backup list":           {says: "lms"},
	"backup show":           {says: "Backup ", needs: true},
	"backup verify":         done,
	"backup prune":          {with: "--dry-run", says: "stays"},
	"backup copy":           done,
	"backup accept-missing": {with: "--yes"},
	"status":                {codes: []int{0, 1, 2, 3}, says: "lms"},
	"jobs list":             {says: "backup"},
	"jobs show":             {says: "ok", needs: true},
	"config check":          {says: "it is good"},
	"config show":           {says: "bucket: moodle-backups"},
	"config init":           {says: "Written to", fresh: true},
	"config grants":         {says: "GRANT SELECT"},
	"restore":               {with: "--dry-run", unless: "--discard", key: true, says: "Restore of site lms"},
	"drill":                 {once: true},
	"update":                {with: "--dry-run", unless: "--check", parsed: []string{"--to=MOODLE_405_STABLE"}},
	"maintain":              {with: "--dry-run", says: "next"},
	"alerts export":         {needs: true},
	"dashboards export":     {needs: true},
}

// TestCommands runs every command that README.md, docs and the runbooks tell of: as it is written, each option by itself.
func TestCommands(t *testing.T) {
	program, err := stand.ExporterBinary(t.TempDir())
	must(t, err)
	help, err := exec.CommandContext(t.Context(), program, "--help-long").CombinedOutput()
	must(t, err)
	known := understand(string(help))
	all := pages(t)
	r := start(t, program, offsiteBlock(t, all[0]))
	r.begin(t)
	told := map[string]bool{}
	tried := map[string]bool{}
	for _, p := range all {
		if p.path == "docs/proof.md" {
			continue // what programs have printed: it tells nobody to do anything
		}
		for _, command := range known.documented(p) {
			for _, form := range forms(command.text) {
				name, found := known.name(form)
				if !found {
					t.Errorf("%s: %q: there is no such command", p.at(command), command.text)
					continue
				}
				told[name] = true
				if key := strings.Join(form, " "); !tried[key] {
					tried[key] = true
					if err := r.try(t, name, form); err != nil {
						t.Errorf("%s: %s %s: %v", p.at(command), program, key, err)
					}
				}
			}
		}
	}
	for _, name := range known.commands {
		if !told[name] && !strings.HasPrefix(name, "help") {
			t.Errorf("no page tells of the command %q", name)
		}
	}
	for name := range ways {
		if !told[name] {
			t.Errorf("nobody needs to know how %q is tried", name)
		}
	}
}

// try runs one form of a command, or has it taken and no more.
func (r *rig) try(t *testing.T, name string, form []string) error {
	t.Helper()
	way, known := ways[name]
	if !known {
		return fmt.Errorf("nobody has thought about how to try it; see ways in test/readme")
	}
	args := r.fill(form, name == "jobs show")
	words := len(strings.Fields(name))
	if way.needs && len(form) == words {
		return nil
	}
	if way.needs {
		words++
	}
	shortest := len(form) <= words && !slices.ContainsFunc(form, func(word string) bool { return word[0] == '-' })
	if way.once && !shortest || slices.ContainsFunc(way.parsed, func(word string) bool { return slices.Contains(args, word) }) {
		return r.taken(t, args)
	}
	if name == "serve" {
		r.serve(t, slices.DeleteFunc(args, func(word string) bool { return word == "serve" }))
		return nil
	}
	if way.with != "" && !slices.Contains(args, way.with) && !slices.Contains(args, way.unless) {
		args = append(args, way.with)
	}
	if way.key && slices.Contains(args, "--from=offsite") && !slices.ContainsFunc(args, func(word string) bool { return strings.HasPrefix(word, "--identity=") }) {
		args = append(args, "--identity="+r.words["FILE"])
	}
	config := r.config
	if way.fresh {
		config = r.dir + "/fresh/moodle-exporter.yml"
	}
	code, said := r.run(t, config, args...)
	if !slices.Contains(append(way.codes, 0), code) || strings.Contains(said, "; try --help") {
		return fmt.Errorf("it ended with %d: %s", code, said)
	}
	if shortest && !strings.Contains(said, way.says) {
		return fmt.Errorf("it did not say %q but: %s", way.says, said)
	}
	return nil
}

// taken says whether the program understands the words. It reads the configuration next, which is broken.
func (r *rig) taken(t *testing.T, args []string) error {
	t.Helper()
	code, said := r.run(t, r.broken, args...)
	if code != 1 || !strings.Contains(said, `unknown key "sitse"`) {
		return fmt.Errorf("it is not understood: %d: %s", code, said)
	}
	return nil
}

// offsiteBlock is the configuration of a bucket as README shows it.
func offsiteBlock(t *testing.T, p *page) string {
	t.Helper()
	for _, block := range p.blocks {
		if strings.Contains(block.text, "offsite:") {
			return block.text
		}
	}
	t.Fatalf("%s does not show how to copy to a bucket", p.path)
	return ""
}
