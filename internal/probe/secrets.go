package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/nginx"
)

// Secrets is who may read what should be closed, as the modes and owners of files have it. Access control lists are seen
// as far as the mode shows their mask.
type Secrets struct {
	Looked  int       `json:"looked"` // files and directories that are there
	Exposed []Exposed `json:"exposed,omitempty"`
}

// Exposed is a file or directory with secrets that others than they are meant for may read.
type Exposed struct {
	Path  string `json:"path"`
	Holds string `json:"holds"` // what is read there
	Who   string `json:"who"`   // may read it
	Do    string `json:"do"`    // the commands that close it
	// Grave is what gives the whole site, or its copies, to every account of this host.
	Grave bool `json:"grave,omitempty"`
}

// secret is a file or directory, and who may read it beside root.
type secret struct {
	path, holds string
	ours        bool   // no owner but root; the others' are for their programs to say
	groups      []int  // beside root's; nil: any
	close       string // commands, %[1]s is the path
	grave       bool
}

// forExporter is what the exporter's group may read.
func (p *Probe) forExporter(path, holds, mode string) secret {
	return secret{path: path, holds: holds, ours: true, groups: []int{p.Group}, close: "chown root:" + p.groupName() + " %[1]s && chmod " + mode + " %[1]s"}
}

func forRoot(path, holds, mode string) secret {
	return secret{path: path, holds: holds, ours: true, groups: []int{}, grave: true, close: "chown root:root %[1]s && chmod " + mode + " %[1]s"}
}

// lookAtSiteSecrets looks at what a site keeps to itself: config.php and its backups.
func (p *Probe) lookAtSiteSecrets(site *moodle.Site) (*Secrets, error) {
	wanted := []secret{forRoot(filepath.Join(p.Config.Backup.Dir, site.Name), "the backups of the site: its database, its files, its passwords", "0700")}
	file, problem := p.configFile(site)
	if problem == nil {
		wanted = append(wanted, file)
	}
	found, err := judge(wanted)
	return found, errors.Join(problem, err)
}

// configFile is config.php, which the site's own user and its groups may read, and whoever puts the code there owns. It is looked at inside of the code: where a
// link in it leads is for others to say.
func (p *Probe) configFile(site *moodle.Site) (secret, error) {
	const what = "look who may read config.php"
	root, err := os.OpenRoot(site.Dir)
	if err != nil {
		return secret{}, fmt.Errorf("%s: %w", what, err)
	}
	defer func() { _ = root.Close() }()
	if _, err := root.Stat("config.php"); err != nil {
		return secret{}, fmt.Errorf("%s: %w", what, err)
	}
	account, err := command.LookupUser(site.User)
	if err != nil {
		return secret{}, fmt.Errorf("%s: %w", what, err)
	}
	groups := []int{int(account.GID)}
	for _, gid := range account.Groups {
		groups = append(groups, int(gid))
	}
	return secret{
		path: filepath.Join(site.Dir, "config.php"), holds: "the password of the site's database", groups: groups,
		close: "chgrp " + groupName(int(account.GID)) + " %[1]s && chmod 0640 %[1]s",
	}, nil
}

// lookAtHostSecrets looks at what belongs to no site: our own settings, keys and state, and the keys of certificates.
func (p *Probe) lookAtHostSecrets() (*Secrets, error) {
	wanted := []secret{p.forExporter(p.StateDir, "what is known of the sites, and the logs of jobs", "0750")}
	wanted = append(wanted, p.ownSecrets()...)
	keys, problem := p.certificateKeys()
	for _, path := range keys {
		wanted = append(wanted, secret{path: path, holds: "the private key of a certificate", grave: true, close: "chmod o-rwx %[1]s"})
	}
	found, err := judge(wanted)
	return found, errors.Join(problem, err)
}

// ownSecrets are the files that the configuration names, and whatever else lies beside it.
func (p *Probe) ownSecrets() []secret {
	files := map[string]secret{}
	const password, key = "a password", "a key of the off-site copies"
	beside, _ := filepath.Glob(filepath.Join(p.SettingsDir, "*")) // the pattern is our own
	for _, path := range beside {
		if info, err := os.Stat(path); p.SettingsDir != "" && err == nil && info.Mode().IsRegular() {
			files[path] = p.forExporter(path, "settings, or a password or key", "0640")
		}
	}
	for _, site := range p.Config.Sites {
		files[site.Database.Admin.PasswordFile] = forRoot(site.Database.Admin.PasswordFile, "the password of the database's administrator", "0600")
	}
	if o := p.Config.Backup.Offsite; o != nil {
		files[o.AccessKeyFile], files[o.SecretKeyFile] = forRoot(o.AccessKeyFile, key, "0600"), forRoot(o.SecretKeyFile, key, "0600")
	}
	// What serve reads comes last: where one file is for both, it must stay readable.
	for _, login := range p.Config.Redis {
		files[login.PasswordFile] = p.forExporter(login.PasswordFile, password, "0640")
	}
	for _, site := range p.Config.Sites {
		files[site.Database.Monitor.PasswordFile] = p.forExporter(site.Database.Monitor.PasswordFile, password, "0640")
	}
	delete(files, "")
	var list []secret
	for _, one := range files {
		list = append(list, one)
	}
	return list
}

// certificateKeys are those that nginx serves with, and those that lie where certbot puts them.
func (p *Probe) certificateKeys() ([]string, error) {
	keys, err := nginx.Keys(p.NginxFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	patterns := p.Config.Certificates.Files
	if len(patterns) == 0 {
		patterns = p.CertificateFiles
	}
	for _, pattern := range patterns {
		beside, _ := filepath.Glob(filepath.Join(filepath.Dir(pattern), "privkey.pem"))
		keys = append(keys, beside...)
	}
	return keys, err
}

// judge looks at files and directories; what is not there is closed.
func judge(wanted []secret) (*Secrets, error) {
	found := &Secrets{}
	var problems []error
	seen := map[string]bool{}
	slices.SortFunc(wanted, func(a, b secret) int { return strings.Compare(a.path, b.path) })
	for _, one := range wanted {
		path, err := filepath.EvalSymlinks(one.path)
		if errors.Is(err, fs.ErrNotExist) || seen[path] {
			continue
		}
		seen[path] = true
		who, err := one.exposed(path)
		if err != nil {
			problems = append(problems, fmt.Errorf("look who may read %s: %w", one.path, err))
			continue
		}
		found.Looked++
		if who != "" {
			found.Exposed = append(found.Exposed, Exposed{
				Path: path, Holds: one.holds, Who: who, Do: fmt.Sprintf(one.close, quoted(path)), Grave: one.grave && who == everybody,
			})
		}
	}
	return found, errors.Join(problems...)
}

const everybody = "every account of this host"

// exposed says who may read it that should not, or nothing. path has no links.
func (s secret) exposed(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	status, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return "", errors.New("its owner is not known")
	}
	gid, mode := int(status.Gid), info.Mode()
	reads := fs.FileMode(0o4)
	if mode.IsDir() {
		reads = 0o5 // whoever may enter it reads what it knows the name of
	}
	switch {
	case mode&reads != 0 && reachable(path, -1):
		return everybody, nil
	case mode&(reads<<3) != 0 && gid != 0 && gid != os.Getegid() && s.groups != nil && !slices.Contains(s.groups, gid) && reachable(path, gid):
		return "the group " + groupName(gid), nil
	case s.ours && status.Uid != 0 && int(status.Uid) != os.Geteuid():
		return "its owner, " + userName(status.Uid), nil
	}
	return "", nil
}

// reachable says whether everybody, or the members of a group, may pass the directories above.
func reachable(path string, gid int) bool {
	for path != "/" {
		path = filepath.Dir(path)
		info, err := os.Lstat(path)
		if err != nil {
			return true // not known to be closed
		}
		status, known := info.Sys().(*syscall.Stat_t)
		passes := info.Mode()&0o1 != 0 || known && int(status.Gid) == gid && info.Mode()&0o10 != 0
		if !passes {
			return false
		}
	}
	return true
}

func (p *Probe) groupName() string {
	if p.Group < 0 {
		return "root"
	}
	return groupName(p.Group)
}

func groupName(gid int) string {
	number := strconv.Itoa(gid)
	if found, err := user.LookupGroupId(number); err == nil {
		return found.Name
	}
	return number
}

func userName(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	if found, err := user.LookupId(number); err == nil {
		return found.Username
	}
	return number
}

// quoted is a path as a shell takes it.
func quoted(path string) string {
	if strings.Trim(path, "/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
