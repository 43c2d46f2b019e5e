package moodle

import (
	"errors"
	"maps"
	"strings"
	"testing"
)

const plainConfig = `<?php  // Moodle configuration file
unset($CFG);
global $CFG;
$CFG = new stdClass();
$CFG->dbtype    = 'mariadb';
$CFG->dblibrary = 'native';
$CFG->dbhost    = 'localhost';
$CFG->dbname    = "moodle";
$CFG->dbuser    = 'moodle';
$CFG->dbpass    = 'it\'s \\ "secret"; // $x #';
$CFG->prefix    = 'mdl_';
$CFG->dboptions = array ('dbpersist' => 0, 'dbport' => '3307', 'dbsocket' => '', 'dbcollation' => 'utf8mb4_unicode_ci',);
$CFG->wwwroot   = 'https://lms.example.org';
$CFG->dataroot  = __DIR__ . '/../moodledata';
$CFG->directorypermissions = 02770;
# $CFG->dbname = 'old';
/* $CFG->dbname = 'older'; */
require_once(__DIR__ . '/lib/setup.php');
`

func TestParseConfig(t *testing.T) {
	c, err := parseConfig(plainConfig, "/var/www/moodle")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.DBPass.Reveal(); got != `it's \ "secret"; // $x #` {
		t.Errorf("password %q", got)
	}
	if c.DBName != "moodle" || c.DBPort != 3307 || c.DataRoot != "/var/www/moodle/../moodledata" || !strings.HasSuffix(c.FileDir, "/moodledata/filedir") {
		t.Errorf("%+v", c)
	}
}

// What is not surely so is not believed: every one of these needs PHP, or has a harmless meaning.
func TestParseConfigNeedsPHP(t *testing.T) {
	for name, change := range map[string][2]string{
		"getenv":      {`'moodle';`, `getenv('DB');`},
		"condition":   {`$CFG->prefix    = 'mdl_';`, `if ($x) $CFG->prefix = 'mdl_'; else $CFG->prefix = 'a_';`},
		"block":       {`$CFG->prefix    = 'mdl_';`, `if ($x) { $CFG->prefix = 'mdl_'; }`},
		"colon block": {`$CFG->prefix    = 'mdl_';`, `if ($x): $y = 1; $CFG->prefix = 'mdl_'; endif;`},
		"short cut":   {`$CFG->prefix    = 'mdl_';`, `$x && $CFG->prefix = 'mdl_';`},
		"include":     {`# $CFG->dbname`, `require 'local.php'; #`},
		"append":      {`# $CFG->dbname`, `$CFG->dbname .= 'x'; #`},
		"later":       {`# $CFG->dbname`, `$CFG->dbname = $other; #`},
		"variable":    {`"moodle"`, `"moodle$x"`},
		"options":     {`'dbpersist' => 0`, `'readonly' => ['instance' => []]`},
		"nothing":     {plainConfig, `<?php`},
		"cache moved": {`# $CFG->dbname`, `$CFG->cachedir = '/var/cache/' . gethostname(); #`},
		"open string": {`'https://lms.example.org'`, `'https://lms.example.org`},
	} {
		if _, err := parseConfig(strings.Replace(plainConfig, change[0], change[1], 1), "/m"); !errors.Is(err, ErrNeedsPHP) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestParseConfigRefusesHostile(t *testing.T) {
	for name, change := range map[string][2]string{
		"prefix":   {`'mdl_'`, "'x` WHERE 1; --'"},
		"wwwroot":  {`'https://lms.example.org'`, `'javascript:alert(1)'`},
		"dataroot": {`__DIR__ . '/../moodledata'`, `'/'`},
		"relative": {`__DIR__ . '/../moodledata'`, `'moodledata'`},
		"host":     {`'localhost'`, `"local\nhost"`},
	} {
		c, err := parseConfig(strings.Replace(plainConfig, change[0], change[1], 1), "/m")
		if err == nil {
			t.Errorf("%s: accepted %+v", name, c)
		}
		if err != nil && strings.Contains(err.Error(), "it's") {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
	}
}

func TestAssignments(t *testing.T) {
	read := assignments(`<?php
defined('MOODLE_INTERNAL') || die();
$version  = 2024100704.00;  // comment
$release  = '4.5.4 (Build: 20250414)';
$branch   = '405';
$maturity = MATURITY_STABLE;
$octal = 0777; $negative = -5; $text = "a\tb\$c\\"; $yes = true; $no = null;
function f() { $inside = 1; }
?> html $html = 'x'; <?php $after = 1;`, "/m")
	want := map[string]string{
		"version": "2024100704.00", "release": "4.5.4 (Build: 20250414)", "branch": "405", "maturity": "maturity_stable",
		"octal": "511", "negative": "-5", "text": "a\tb$c\\", "yes": "1", "no": "", "after": "1",
	}
	if !maps.Equal(read.values, want) {
		t.Errorf("\n got %v\nwant %v", read.values, want)
	}
}

func TestNewer(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"2025100600.02", "2025100601", false}, {"2025100601.00", "2025100601", false},
		{"2025100601.01", "2025100601", true}, {"2025100602", "2025100601.04", true}, {"x", "1", false},
	} {
		if got := Newer(c.a, c.b); got != c.want {
			t.Errorf("Newer(%s, %s) = %v", c.a, c.b, got)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add(plainConfig)
	f.Add("<?php $CFG->a = ['x' => 'y', ")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = parseConfig(text, "/m") })
}
