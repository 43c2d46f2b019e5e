package config

// file is the configuration as it is written in YAML: what it leaves out is found out or has a default.
type file struct {
	Sites        []Site             `yaml:"sites,omitempty"`
	Services     []string           `yaml:"services,omitempty"`
	Redis        []Redis            `yaml:"redis,omitempty"`
	PHPFPM       []PHPFPM           `yaml:"phpfpm,omitempty"`
	Nginx        []string           `yaml:"nginx,omitempty"` // stub_status URLs
	Certificates Certificates       `yaml:"certificates,omitempty"`
	Backup       Backup             `yaml:"backup,omitempty"`
	Update       Update             `yaml:"update,omitempty"`
	Maintenance  Maintenance        `yaml:"maintenance,omitempty"`
	Thresholds   map[string]float64 `yaml:"thresholds,omitempty"`
}

// Site overrides what discovery and config.php say about one Moodle site.
type Site struct {
	Name     string   `yaml:"name,omitempty"` // label, directory, lock: [a-z0-9][a-z0-9._-]*
	Dir      string   `yaml:"dir"`            // code tree, where config.php is
	User     string   `yaml:"user,omitempty"` // whom the site's PHP runs as; never root
	PHP      string   `yaml:"php,omitempty"`  // CLI binary
	Primary  *bool    `yaml:"primary,omitempty"`
	Database Accounts `yaml:"database,omitempty"`
}

// Accounts are the database logins of one site: Monitor for reading along, Admin for backup and restore.
type Accounts struct {
	Monitor Account `yaml:"monitor,omitempty"`
	Admin   Account `yaml:"admin,omitempty"`
}

// Account is a database login. Empty parts are taken from the site's config.php or the local server.
type Account struct {
	User         string `yaml:"user,omitempty"`
	PasswordFile string `yaml:"password_file,omitempty"`
	Socket       string `yaml:"socket,omitempty"`
}

// Redis is one Redis server to watch: host:port or the path of a unix socket.
type Redis struct {
	Address      string `yaml:"address"`
	User         string `yaml:"user,omitempty"` // of an ACL; empty for the default user
	PasswordFile string `yaml:"password_file,omitempty"`
}

// PHPFPM is one pool's status address: a socket path or host:port, and the path it answers on.
type PHPFPM struct {
	Listen string `yaml:"listen"`
	Path   string `yaml:"path,omitempty"`
}

// Certificates are watched beside those that discovery finds. Files may be glob patterns.
type Certificates struct {
	Endpoints []string `yaml:"endpoints,omitempty"` // host:port
	Files     []string `yaml:"files,omitempty"`
}

// Backup says where backups lie, what goes into them and how long they stay.
type Backup struct {
	Dir         string   `yaml:"dir,omitempty"`
	MaxAge      MaxAge   `yaml:"max_age,omitempty"`
	Keep        Keep     `yaml:"keep,omitempty"`
	ConfigPaths []string `yaml:"config_paths,omitempty"`
	LogPaths    []string `yaml:"log_paths,omitempty"`
	SystemPaths []string `yaml:"system_paths,omitempty"`
	EncryptTo   []string `yaml:"encrypt_to,omitempty"`
	Offsite     *Offsite `yaml:"offsite,omitempty"`
	Nice        *int     `yaml:"nice,omitempty"`   // 0 to 19, as in nice(1)
	IONice      string   `yaml:"ionice,omitempty"` // idle, best-effort or none, as in ionice(1)
	Zstd        Zstd     `yaml:"zstd,omitempty"`
}

// Zstd says how dumps and archives are compressed.
type Zstd struct {
	Level   int `yaml:"level,omitempty"`   // 1 to 19, as in zstd(1), in four steps: from 1, 3, 6, 10
	Threads int `yaml:"threads,omitempty"` // 0 for as many as there are processors, up to 4
}

// Keep is the retention: a backup stays as long as one of these wants it.
type Keep struct {
	Within  Duration `yaml:"within,omitempty"`
	Last    int      `yaml:"last,omitempty"`
	Daily   int      `yaml:"daily,omitempty"`
	Weekly  int      `yaml:"weekly,omitempty"`
	Monthly int      `yaml:"monthly,omitempty"`
	Yearly  int      `yaml:"yearly,omitempty"`
}

// Update says where new Moodle code comes from, and how long a way back may take.
type Update struct {
	// Source is git, archive or none: only the database is brought to the code that is there. Empty: git for a checkout,
	// else none.
	Source string `yaml:"source,omitempty"`
	Branch string `yaml:"branch,omitempty"` // of the remote; empty: the one that is checked out
	Remote string `yaml:"remote,omitempty"` // its address; empty: that of the checkout
	// Archive is a release as .tgz, .tar.gz or .zip. Its SHA-256 stands here, or in a file of its name with .sha256 behind.
	Archive     string   `yaml:"archive,omitempty"`
	SHA256      string   `yaml:"sha256,omitempty"`
	MaxRollback Duration `yaml:"max_rollback,omitempty"` // above it an update wants to be confirmed with --yes
}
