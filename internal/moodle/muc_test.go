package moodle

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// mucConfig is what Moodle writes, with more stores than the usual three.
const mucConfig = `<?php defined('MOODLE_INTERNAL') || die();
 $configuration = array (
  'siteidentifier' => '5f4dcc3b5aa765d61d8327deb882cf99',
  'stores' => 
  array (
    'default_application' => 
    array (
      'name' => 'default_application',
      'plugin' => 'file',
      'configuration' => 
      array (
        'server' => 'not.redis:1',
      ),
      'features' => 30,
      'default' => true,
    ),
    'it\'s redis' => 
    array (
      'configuration' => 
      array (
        'server' => '127.0.0.1:6379',
        'prefix' => 'lms_',
        'password' => 'secret \' => array( server',
        'serializer' => 1,
        'ca_file' => NULL,
        'nested' => array ( 'server' => 'deeper:1' ),
      ),
      'plugin' => 'redis',
      'modes' => -3,
    ),
    'cluster' => 
    array (
      'plugin' => 'redis',
      'configuration' => 
      array (
        'server' => 'a:7000
b:7001,c:7002',
      ),
    ),
  ),
  'modemappings' => 
  array (
    0 => 
    array (
      'mode' => 1,
      'store' => 'redis',
    ),
  ),
);
`

func TestRedisStores(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"as Moodle writes it": {mucConfig, []string{"127.0.0.1:6379", "a:7000", "b:7001", "c:7002"}},
		"short arrays":        {`<?php $configuration = ['stores' => ['x' => ['plugin' => 'redis', 'configuration' => ['server' => '/run/r.sock']]]];`, []string{"/run/r.sock"}},
		"another variable":    {strings.Replace(mucConfig, "$configuration =", "$other =", 1), nil},
		"in a string":         {`<?php $x = '$configuration = ["stores"];';`, nil},
		"empty":               {"", nil},
		"cut":                 {mucConfig[:strings.Index(mucConfig, "'cluster'")], []string{"127.0.0.1:6379"}},
		"no literal":          {`<?php $configuration = array('stores' => array('x' => array('plugin' => 'redis', 'configuration' => array('server' => getenv('X')))));`, nil},
		"bottomless":          {`<?php $configuration = ` + strings.Repeat("['a' => ", 100000), nil},
		"many":                {`<?php $configuration = ['stores' => ['x' => ['plugin' => 'redis', 'configuration' => ['server' => '` + strings.Repeat("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,", 1000) + `']]]];`, strings.Split("abcdefghijklmnop", "")},
	} {
		if got := redisStores(test.text); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestCacheServers(t *testing.T) {
	dataroot := t.TempDir()
	if got, err := CacheServers(dataroot); got != nil || err != nil {
		t.Errorf("without the file: %q, %v", got, err)
	}
	path := filepath.Join(dataroot, "muc/config.php")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(mucConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := CacheServers(dataroot); len(got) != 4 || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte(mucConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func() error{
		"a link out of dataroot": func() error { return os.Symlink(outside, path) },
		"a pipe":                 func() error { return syscall.Mkfifo(path, 0o600) },
		"a directory":            func() error { return os.Mkdir(path, 0o700) },
	} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if got, err := CacheServers(dataroot); err == nil {
			t.Errorf("%s gives %q", name, got)
		}
	}
}

func FuzzRedisStores(f *testing.F) {
	f.Add(mucConfig)
	f.Add(`<?php $configuration = ['stores' => ['x' => 1]]; ?> text <?php $configuration['a'] = "b";`)
	f.Fuzz(func(t *testing.T, text string) {
		if got := redisStores(text); len(got) > maxCacheServers {
			t.Fatal(len(got))
		}
	})
}
