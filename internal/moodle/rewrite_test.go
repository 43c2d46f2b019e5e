package moodle

import (
	"errors"
	"strings"
	"testing"
)

func TestReplaceWWWRoot(t *testing.T) {
	const fresh = "https://new.example/lms"
	for text, want := range map[string]string{
		"<?php\n$CFG->wwwroot   = 'http://old';  // where\n$CFG->x = 1;":                                             "<?php\n$CFG->wwwroot   = 'https://new.example/lms';  // where\n$CFG->x = 1;",
		"<?php $CFG->wwwroot=\"http://o\\$ld\";":                                                                     "<?php $CFG->wwwroot='https://new.example/lms';",
		"<?php // $CFG->wwwroot = 'http://comment';\n$CFG->wwwroot = /* here */ 'http://old' ;":                      "<?php // $CFG->wwwroot = 'http://comment';\n$CFG->wwwroot = /* here */ 'https://new.example/lms' ;",
		"<?php $CFG->x = '$CFG->wwwroot = \\'a\\';'; $CFG->wwwroot = 'b'; require_once(__DIR__ . '/lib/setup.php');": "<?php $CFG->x = '$CFG->wwwroot = \\'a\\';'; $CFG->wwwroot = 'https://new.example/lms'; require_once(__DIR__ . '/lib/setup.php');",
		"<?php $CFG->wwwroot = 'http://' . $_SERVER['HTTP_HOST'];":                                                   "",
		"<?php $CFG->wwwroot = 'http://' . 'old';":                                                                   "",
		"<?php $CFG->wwwroot = getenv('WWWROOT');":                                                                   "",
		"<?php $CFG->wwwroot = \"http://$host\";":                                                                    "",
		"<?php if ($x) { $CFG->wwwroot = 'http://a'; }":                                                              "",
		"<?php $CFG->wwwroot = 'http://a'; if ($x) { $CFG->wwwroot = 'http://b'; }":                                  "",
		"<?php $CFG->wwwroot = 'http://a'; $CFG->wwwroot = 'http://b';":                                              "",
		"<?php $CFG->wwwroot = 'http://a'; $CFG->wwwroot .= '/b';":                                                   "",
		"<?php $CFG->wwwroot = 'http://a'; require 'local.php';":                                                     "",
		"<?php $CFG->dataroot = '/x';":                                                                               "",
		"":                                                                                                           "",
	} {
		got, err := ReplaceWWWRoot(text, fresh)
		if got != want || (want == "") != errors.Is(err, ErrNotLiteral) {
			t.Errorf("%s\n gives %s, %v", text, got, err)
		}
	}
	for _, address := range []string{"https://a'; evil(); '", "https://a\\", "https://a\n"} {
		if got, err := ReplaceWWWRoot("<?php $CFG->wwwroot = 'b';", address); err == nil {
			t.Errorf("%q gives %s", address, got)
		}
	}
}

func TestStageConfig(t *testing.T) {
	settings := map[string]string{"tempdir": "/s/temp", "cachedir": `/s/it's \ here`}
	const lines = `$CFG->cachedir = '/s/it\'s \\ here';` + "\n$CFG->tempdir = '/s/temp';\n"
	for text, want := range map[string]string{
		"<?php\n$CFG->x = 1;\nrequire_once(__DIR__ . '/lib/setup.php'); // no more\n":   "<?php\n$CFG->x = 1;\n" + lines + "require_once(__DIR__ . '/lib/setup.php'); // no more\n",
		"<?php // lib/setup.php\nrequire dirname(__FILE__) . '/lib/setup.php';":         "<?php // lib/setup.php\n" + lines + "require dirname(__FILE__) . '/lib/setup.php';",
		"<?php require_once('/var/www/moodle/lib/setup.php');":                          "",
		"<?php if ($x) require_once(__DIR__ . '/lib/setup.php');":                       "",
		"<?php require __DIR__ . '/a.php'; ":                                            "",
		"<?php require __DIR__ . '/lib/setup.php'; require __DIR__ . '/lib/setup.php';": "",
		"": "",
	} {
		got, err := StageConfig(text, settings)
		if got != want || (want == "") != errors.Is(err, ErrNotLiteral) {
			t.Errorf("%s\n gives %s, %v", text, got, err)
		}
	}
	if _, err := StageConfig("<?php require __DIR__ . '/lib/setup.php';", map[string]string{"x = 1; //": "y"}); err == nil {
		t.Error("a name that is none")
	}
}

func FuzzReplaceWWWRoot(f *testing.F) {
	f.Add("<?php $CFG->wwwroot = 'http://old'; require_once(__DIR__ . '/lib/setup.php');")
	f.Fuzz(func(t *testing.T, text string) {
		const fresh = "https://new.example"
		got, err := ReplaceWWWRoot(text, fresh)
		if err == nil && assignments(got, "").values["CFG->wwwroot"] != fresh {
			t.Errorf("%q gives %q", text, got)
		}
		if staged, err := StageConfig(text, map[string]string{"tempdir": "/x"}); err == nil && !strings.Contains(staged, "$CFG->tempdir = '/x';\n") {
			t.Errorf("%q gives %q", text, staged)
		}
	})
}
