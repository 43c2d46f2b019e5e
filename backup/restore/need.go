package restore

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/command"
)

// planPlaces looks for what lies where a restore would take it away, and for what earlier ones have kept.
func (o *Options) planPlaces(_ context.Context, p *Plan) error {
	for what, dir := range map[string]string{"the backups": o.BackupDir, "the state directory": o.StateDir} {
		for component, place := range map[string]string{backup.Code: p.target.code, backup.Files: p.target.dataroot} {
			if p.has(component) && dir != "" && place != "" && holds(place, dir) {
				p.problem("move "+dir+" to another place, and name that in the configuration", "%s in %s lie within %s, which is exchanged", what, dir, place)
			}
		}
	}
	if p.target.noUser != nil {
		p.problem("", "the user %s, whom the site's PHP ran as, cannot be used on this host: %v. Install the web server and PHP-FPM first, or name another user in the configuration: sites: [{dir: %s, user: …}]",
			p.target.name, p.target.noUser, p.target.code)
	}
	journals, err := Journals(o.StateDir, p.Site)
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(journals, func(j *Journal) bool { return !j.Phase.Ended() })
	if len(kept) > 0 {
		p.note("%d earlier restores, the first of %s, still keep the site as it was before them, which takes room; `moodle-exporter restore --discard --site=%s` lets it go",
			len(kept), kept[0].Started.Local().Format("2006-01-02 15:04"), p.Site)
	}
	return nil
}

// need is something that a restored site cannot do without: programs of which one must be there, and Debian's packages.
type need struct {
	what     string
	programs []string
	packages string
	wanted   func(p *Plan, config string) bool
	fatal    func(p *Plan) bool // without it nothing is begun
}

var needs = []need{
	{
		what: "a database server", programs: []string{"mariadbd", "mysqld"}, packages: "mariadb-server",
		wanted: func(p *Plan, _ string) bool { return p.has(backup.Database) && p.noServer },
		fatal:  func(*Plan) bool { return true },
	},
	{
		what: "PHP for the command line, without which the restored site is not tried", programs: []string{"php"},
		packages: "php{php}-cli php{php}-mysql php{php}-xml php{php}-mbstring php{php}-curl php{php}-zip php{php}-gd php{php}-intl php{php}-soap",
		wanted:   func(p *Plan, _ string) bool { return p.has(backup.Code) || p.has(backup.Database) },
		fatal:    func(p *Plan) bool { return p.target.moved != "" },
	},
	{
		what: "PHP-FPM, which runs the site", programs: []string{"php-fpm", "php-fpm{php}", "apache2", "httpd"}, packages: "php{php}-fpm",
		wanted: func(p *Plan, _ string) bool { return p.has(backup.Code) },
	},
	{
		what: "a web server", programs: []string{"nginx", "apache2", "httpd"}, packages: "nginx",
		wanted: func(p *Plan, _ string) bool { return p.has(backup.Code) },
	},
	{
		what: "Redis, in which config.php keeps sessions", programs: []string{"redis-server", "valkey-server"}, packages: "redis-server",
		wanted: func(p *Plan, config string) bool {
			return p.has(backup.Code) && strings.Contains(config, "session_redis_host") && (strings.Contains(config, "127.0.0.1") || strings.Contains(config, "localhost"))
		},
	},
	{
		what: "cron, which runs the site's tasks", programs: []string{"cron", "crond"}, packages: "cron",
		wanted: func(p *Plan, _ string) bool { return p.has(backup.Code) },
	},
}

// planTools lists what must be installed first, all of it at once. Whether a database server is there that can be logged
// in to is found out by doing it.
func (o *Options) planTools(ctx context.Context, p *Plan) error {
	if o.Live != nil && o.Live.PHP != "" {
		return nil // what serves the site is there
	}
	config, err := o.configText(ctx)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	p.noServer = o.noServer(ctx, p)
	version := strings.NewReplacer("{php}", major(p.Backup.Moodle.PHP))
	var lacking, packages []string
	fatal := p.target.noUser != nil
	for _, n := range needs {
		if !n.wanted(p, config) || n.there(version) {
			continue
		}
		lacking, packages = append(lacking, n.what), append(packages, version.Replace(n.packages))
		fatal = fatal || n.fatal != nil && n.fatal(p)
	}
	if len(lacking) == 0 {
		return nil
	}
	text, do := "this host lacks "+strings.Join(lacking, "; "), "apt-get install "+strings.Join(packages, " ")
	if fatal {
		p.problem(do, "%s", text)
	} else {
		p.note("%s. On Debian: %s", text, do)
	}
	return nil
}

func (n *need) there(version *strings.Replacer) bool {
	programs := make([]string, len(n.programs))
	for i, program := range n.programs {
		programs[i] = version.Replace(program)
	}
	_, err := command.Look(programs...)
	return err == nil
}

// noServer says whether the database server that the site used was on this host and nothing of it is.
func (o *Options) noServer(ctx context.Context, p *Plan) bool {
	login, err := o.loginSite(ctx, p.target).AdminLogin()
	if err != nil || login.Network != "unix" {
		return false
	}
	_, err = os.Stat(login.Address)
	return errors.Is(err, os.ErrNotExist)
}

func major(version string) string {
	numbers := strings.SplitN(version, ".", 3)
	return strings.Join(numbers[:min(len(numbers), 2)], ".")
}
