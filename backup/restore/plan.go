package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
)

// Plan is what a restore would do, found without changing anything.
type Plan struct {
	Site       string
	Backup     *backup.Manifest
	Components []string
	Do         []string  // in the order in which it is done
	Notes      []string  // what the administrator should know
	Problems   []Problem // what keeps it from being done

	config []hostFile
	target target
	rooms  rooms
	// noServer: no database server of this host can be seen.
	noServer bool
}

// Problem is what keeps a restore from being done.
type Problem struct {
	Text string
	Do   string // what mends it, ready to paste where that is possible
}

func (p *Plan) has(component string) bool { return slices.Contains(p.Components, component) }

func (p *Plan) note(format string, values ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, values...))
}

func (p *Plan) problem(do, format string, values ...any) {
	p.Problems = append(p.Problems, Problem{fmt.Sprintf(format, values...), do})
}

func (p *Plan) step(format string, values ...any) {
	p.Do = append(p.Do, fmt.Sprintf(format, values...))
}

// Text writes the plan for people.
func (p *Plan) Text(to io.Writer) error {
	var errs []error
	line := func(format string, values ...any) {
		_, err := fmt.Fprintf(to, format+"\n", values...)
		errs = append(errs, err)
	}
	m := p.Backup
	line("Restore of site %s from backup %s, made %s on %s (Moodle %s, %s).", p.Site, m.ID, m.Ended.Local().Format("2006-01-02 15:04"), m.Host, m.Moodle.Release, m.Moodle.WWWRoot)
	for i, step := range p.Do {
		line("%3d. %s.", i+1, step)
	}
	for _, note := range p.Notes {
		line("Note: %s.", note)
	}
	for _, problem := range p.Problems {
		line("STANDS IN THE WAY: %s.", problem.Text)
		if problem.Do != "" {
			line("    %s", strings.ReplaceAll(problem.Do, "\n", "\n    "))
		}
	}
	return errors.Join(errs...)
}

// Refusal is all that stands in the way, at once; nil if nothing does.
func (p *Plan) Refusal() error {
	if len(p.Problems) == 0 {
		return nil
	}
	var texts, dos []string
	for _, problem := range p.Problems {
		texts = append(texts, problem.Text)
		if problem.Do != "" {
			dos = append(dos, problem.Do)
		}
	}
	return &backup.RefusedError{
		Happened: "site " + p.Site + " cannot be restored as things are: " + strings.Join(texts, "; "),
		Means:    "nothing was begun, and nothing of the site was touched", Do: strings.Join(dos, "\n"),
	}
}

// MakePlan finds out what Restore would do, and what stands in its way. It changes nothing.
func MakePlan(ctx context.Context, o Options) (*Plan, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	plan := &Plan{Site: o.Reader.Manifest.Site, Backup: o.Reader.Manifest, rooms: rooms{}}
	if err := plan.choose(o.Components); err != nil {
		return nil, err
	}
	var err error
	if plan.target, err = o.findTarget(); err != nil {
		return nil, err
	}
	if !plan.has(backup.Database) && o.WWWRoot == "" {
		plan.target.moved = "" // there is no content in which it could stand
	}
	for _, look := range []func(context.Context, *Plan) error{o.planPlaces, o.planTools, o.planConfig, o.planFiles, o.planDatabase, o.planVersions, o.planSwitch} {
		if err := look(ctx, plan); err != nil {
			return nil, err
		}
	}
	plan.rooms.check(plan)
	return plan, nil
}

// choose settles which components come back.
func (p *Plan) choose(wanted []string) error {
	for _, component := range Components {
		if (len(wanted) == 0 || slices.Contains(wanted, component)) && p.Backup.Has(component) {
			p.Components = append(p.Components, component)
		}
	}
	for _, component := range wanted {
		if !p.has(component) {
			return &backup.RefusedError{
				Happened: "backup " + p.Backup.ID + " has no " + component + " that could be restored", Means: "it has " + strings.Join(p.Backup.Components, ", "),
				Do: "choose another backup (`moodle-exporter backup list`), or among " + strings.Join(Components, ", ") + " with --only",
			}
		}
	}
	if len(wanted) == 0 && !p.Backup.Complete() {
		p.note("the backup is not complete: only %s come back", strings.Join(p.Components, ", "))
	}
	return nil
}

// planConfig compares the host's configuration with that of the backup.
func (o *Options) planConfig(ctx context.Context, p *Plan) (err error) {
	if !p.has(backup.Config) {
		return nil
	}
	if p.config, err = o.hostConfig(ctx); err != nil {
		return err
	}
	gone, other := filesIn(p.config, missing), filesIn(p.config, different)
	if len(gone) > 0 {
		p.step("put %d files of the host's configuration where there are none now: %s", len(gone), some(gone))
	}
	switch {
	case len(other) == 0:
	case o.wantsConfig():
		p.step("put %d files of the host's configuration in the place of other ones, which are kept: %s", len(other), some(other))
	default:
		p.note("%d files of the host's configuration are not as in the backup, and stay as they are: %s. `--only=config` puts them back", len(other), some(other))
	}
	if links := filesIn(p.config, elsewhere); len(links) > 0 {
		p.note("%d files of the host's configuration lie behind a link on this host, and stay as they are: %s", len(links), some(links))
	}
	return nil
}

// wantsConfig says whether the configuration was asked for by name: only then files of the host give way.
func (o *Options) wantsConfig() bool { return slices.Contains(o.Components, backup.Config) }

func filesIn(files []hostFile, state fileState) (names []string) {
	for _, file := range files {
		if file.State == state && !file.Dir {
			names = append(names, "/"+file.Name)
		}
	}
	return names
}

const fewNames = 5

func some(names []string) string {
	text := strings.Join(names[:min(len(names), fewNames)], ", ")
	if more := len(names) - fewNames; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// planVersions is what can be said without starting anything: code and database must be of one version, or the
// site would ask for an upgrade, or refuse to start at all.
func (o *Options) planVersions(_ context.Context, p *Plan) error {
	m := p.Backup.Moodle
	switch {
	case p.has(backup.Code) || !p.has(backup.Database) && !p.has(backup.Files):
	case o.Live == nil:
		p.problem("restore the code as well: leave --only away, or add code to it", "there is no site at %s that can be read, and without its code nobody knows how the rest of it is reached", p.target.code)
	}
	if p.has(backup.Code) == p.has(backup.Database) || o.Live == nil || m.Version == o.Live.Version.Number {
		return nil
	}
	p.problem("restore code and database together: leave --only away, or name both",
		"the backup is of Moodle %s (%s) and the site of %s (%s): code and database of different versions do not make a site that works", m.Release, m.Version, o.Live.Version.Release, o.Live.Version.Number)
	return nil
}

// planSwitch says what happens to the site itself.
func (o *Options) planSwitch(_ context.Context, p *Plan) error {
	if !p.has(backup.Database) && !p.has(backup.Files) && !p.has(backup.Code) {
		return nil
	}
	if o.Live == nil {
		p.note("there is no site at %s that can be read: it is built anew", p.target.code)
	}
	if p.target.moved != "" {
		if !p.has(backup.Code) || !p.has(backup.Database) {
			p.problem("restore code and database together: leave --only away, or name both", "the site is at %s and the backup of one at %s, and the address stands in config.php and in the database", p.target.wwwroot, p.target.moved)
		}
		p.step("put the address %s in the place of %s, in config.php and in the database", p.target.wwwroot, p.target.moved)
		if o.AllowMail {
			p.note("the restored site sends mail to its users, as --allow-mail says")
		} else {
			p.note("the restored site sends no mail ($CFG->noemailever): it has another address. --allow-mail lets it")
		}
	}
	p.step("close the site (usually for a few seconds), exchange, log everybody out, empty the caches, try it, and open it")
	p.step("keep what was there until `moodle-exporter restore --discard --site=%s`", p.Site)
	return nil
}

// planned is when users are told to expect the site back.
func planned(now time.Time) time.Time { return now.Add(closedAtMost) }

// closedAtMost is announced to visitors and to the alerts; a switch takes seconds.
const closedAtMost = 10 * time.Minute
