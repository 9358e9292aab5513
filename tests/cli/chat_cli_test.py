#!/usr/bin/env python3
"""A conversation as a person has it: commands, several lines, saved files, history; at a pipe and at a terminal."""
import json
import os
import pathlib
import pty
import select
import signal
import stat
import subprocess
import tempfile
import time
import unittest

CHASKI = os.environ["CHASKI"]
TINY = "synthetic:tiny"
SHORT = ["--max-new-tokens", "6", "--seed", "1"]


class ChatTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.env = {"PATH": os.environ["PATH"], "CHASKI_HOME": str(self.home), "LC_ALL": "C.UTF-8", "TERM": "xterm"}

    def chat(self, text, *args, lang="en"):
        done = subprocess.run([CHASKI, "chat", TINY, *SHORT, "--lang", lang, *args], input=text.encode(),
                              capture_output=True, env=self.env, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, (done.stdout, done.stderr))
        return done.stdout.decode(), done.stderr.decode()

    def saved(self, name="talk.json"):
        return json.loads((self.home / name).read_text())

    # ---- settings

    def test_set_changes_a_setting_and_alone_lists_all(self):
        out, err = self.chat("/set temperature 0.25\n/set top_k 7\n/set stop END\n/set ignore_eos true\n/set\n")
        for line in ("temperature 0.25", "top_k 7", 'stop ["END"]', "ignore_eos true", "max_new_tokens 6", "seed 1"):
            self.assertIn(line, out.splitlines())
        self.assertIn("[temperature 0.25]", err)

    def test_a_later_limit_puts_the_other_aside_and_no_value_unsets(self):
        out, _ = self.chat("/set max_length 50\n/set\n/set max_length\n/set\n")
        self.assertIn("max_length 50\n", out)
        self.assertEqual(out.count("max_new_tokens null"), 2)
        self.assertIn("max_length null", out)

    def test_a_wrong_setting_is_said_and_changes_nothing(self):
        wrong = ["temperature -1", "temperature hot", "top_k 1.5", "seed -1", "seed 1e3", "max_new_tokens 0", "colour 3",
                 "top_k 99999999999999999999", "ignore_eos 1", "stop [1]"]
        before, _ = self.chat("/set\n")
        after, err = self.chat("".join(f"/set {line}\n" for line in wrong) + "/set\n")
        self.assertEqual(after, before)
        self.assertEqual(err.count("This command or setting is not right"), len(wrong), err)
        self.assertIn("no setting colour", err)

    # ---- the conversation

    def test_lines_in_quotes_and_after_a_backslash_are_one_message(self):
        text = '"""one\n/two\n\nthree"""\nfour\\\nfive\n"""x"""\n/save ' + str(self.home / "talk.json") + "\n"
        self.chat(text)
        asked = [m["content"] for m in self.saved()["messages"] if m["role"] == "user"]
        self.assertEqual(asked, ["one\n/two\n\nthree", "four\nfive", "x"])

    def test_what_follows_in_a_message_that_is_too_long_is_not_taken_for_messages(self):
        line = "x" * 1000 + "\n"
        talk = self.home / "talk.json"
        out, err = self.chat(f'"""{line * 4300}/exit\nnot a message\n"""\nhello\n/save {talk}\n')
        self.assertEqual(err.count("a message of more than 4194304 bytes"), 1)
        self.assertEqual([m["content"] for m in self.saved()["messages"] if m["role"] == "user"], ["hello"])

    def test_save_replaces_nothing_but_a_saved_conversation(self):
        others = {"notes.txt": "mine", "other.json": '{"schema": "other/1"}', "empty": ""}
        for name, text in others.items():
            (self.home / name).write_text(text)
        (self.home / "link").symlink_to("nowhere")
        lines = "".join(f"/save {self.home / name}\n" for name in [*others, "link", "."])
        talk = self.home / "talk.json"
        _, err = self.chat(f"hello\n{lines}/save {talk}\nand then?\n/save {talk}\n")
        self.assertEqual(err.count("it is no saved conversation"), 5, err)
        self.assertEqual(err.count("[saved in"), 2, err)
        for name, text in others.items():
            self.assertEqual((self.home / name).read_text(), text)
        self.assertTrue((self.home / "link").is_symlink())
        self.assertEqual(len(self.saved()["messages"]), 4)

    def test_load_tells_another_model_and_another_adapter(self):
        talk = self.home / "talk.json"
        good = {"schema": "chaski.chat/1", "model": TINY, "lora": None, "settings": {}, "messages": []}
        for change, note in (({}, None), ({"model": "m"}, "saved with the model m, no adapter"),
                             ({"lora": "my-adapter"}, f"saved with the model {TINY}, my-adapter")):
            talk.write_text(json.dumps({**good, **change}))
            _, err = self.chat(f"/load {talk}\n")
            self.assertIn("[loaded", err)
            if note:
                self.assertIn(note, err)
            else:
                self.assertNotIn("saved with", err)

    def test_a_saved_conversation_goes_on_as_if_it_had_never_ended(self):
        talk = self.home / "talk.json"
        one, _ = self.chat(f"hello\n/save {talk}\nand then?\n")
        two, _ = self.chat(f"/set seed 99\n/load {talk}\nand then?\n")
        self.assertEqual(one.splitlines()[-1], two.splitlines()[-1])
        saved = self.saved()
        self.assertEqual(saved["model"], TINY)
        self.assertEqual([m["role"] for m in saved["messages"]], ["user", "assistant"])
        self.assertEqual(saved["settings"]["seed"], 1)

    def test_a_hostile_file_is_refused_and_the_conversation_stays(self):
        good = {"schema": "chaski.chat/1", "model": TINY, "settings": {}, "messages": []}
        files = {
            "text": "hello", "list": "[]", "deep": "[" * 100000, "empty": "", "schema": {**good, "schema": "x"},
            "role": {**good, "messages": [{"role": "tool", "content": "x"}]},
            "late": {**good, "messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "x"}]},
            "content": {**good, "messages": [{"role": "user", "content": None}]},
            "part": {**good, "messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "many": {**good, "messages": [{"role": "user", "content": "x"}] * 10001},
            "entry": {**good, "messages": [5]}, "object": {**good, "messages": {}},
            "setting": {**good, "settings": {"temperature": "hot"}}, "unknown": {**good, "settings": {"x": 1}},
            "range": {**good, "settings": {"top_p": 7}}, "settings": {**good, "settings": 3},
            "big": {**good, "x": "y" * (17 << 20)},
        }
        lines = "hello\n"
        for name, content in files.items():
            (self.home / name).write_text(content if isinstance(content, str) else json.dumps(content))
            lines += f"/load {self.home / name}\n"
        lines += f"/load {self.home}\n/load {self.home}/none\n/load\n/save {self.home}/none/x\n/save {self.home}/talk.json\n"
        _, err = self.chat(lines)
        self.assertNotIn("[loaded", err)
        self.assertNotIn("internal", err)
        self.assertEqual(err.count("[saved"), 1)
        saved = self.saved()
        self.assertEqual(len(saved["messages"]), 2)
        self.assertEqual(saved["settings"]["temperature"], 0.7)

    def test_regenerate_draws_another_answer_to_the_same_question(self):
        talk = self.home / "talk.json"
        _, err = self.chat(f"/regenerate\nhello\n/save {self.home}/first.json\n/regenerate\n/save {talk}\n")
        self.assertIn("there is no answer yet", err)
        first, second = self.saved("first.json"), self.saved()
        self.assertEqual(first["messages"][:-1], second["messages"][:-1])
        self.assertNotEqual(first["messages"][-1], second["messages"][-1])
        self.assertEqual(second["settings"]["seed"], 2)

    def test_stats_tell_tokens_reuse_context_and_memory(self):
        out, _ = self.chat("/stats\nhello there, how are you\nand again\n/stats\n")
        self.assertIn("0 answers, 0 tokens generated", out)
        self.assertIn("2 answers, 12 tokens generated", out)
        for word in ("reused", "TTFT", "TPOT", "left", "KV cache"):
            self.assertIn(word, out)

    def test_help_names_every_command_in_both_languages(self):
        for lang in ("en", "zh"):
            out, _ = self.chat("/help\n", lang=lang)
            for command in ("/clear", "/system", "/set", "/regenerate", "/stats", "/save", "/load", "/exit", '"""'):
                self.assertIn(command, out)

    # ---- at a terminal

    def at_terminal(self, *args):
        master, slave = pty.openpty()
        running = subprocess.Popen([CHASKI, "chat", TINY, "--lang", "en", *args], stdin=slave, stdout=slave, stderr=slave,
                                   env=self.env, start_new_session=True)
        os.close(slave)

        def end():
            running.kill()
            running.wait()
            os.close(master)

        self.addCleanup(end)
        seen = bytearray()

        def wait_for(wanted):
            deadline = time.monotonic() + 120
            while wanted not in seen:
                self.assertLess(time.monotonic(), deadline, (wanted, bytes(seen[-500:])))
                if select.select([master], [], [], 1)[0]:
                    seen.extend(os.read(master, 4096))
            del seen[:seen.index(wanted) + len(wanted)]

        return running, (lambda text: os.write(master, text)), wait_for

    def test_history_outlives_the_program_and_is_the_owners_alone(self):
        running, type_in, wait_for = self.at_terminal(*SHORT)
        wait_for(b"> ")
        type_in("/set top_k 11\r".encode())
        wait_for(b"[top_k 11]")
        wait_for(b"> ")
        type_in(b"/exit\r")
        self.assertEqual(running.wait(60), 0)
        history = self.home / "chat_history"
        self.assertEqual(stat.S_IMODE(history.stat().st_mode), 0o600)
        running, type_in, wait_for = self.at_terminal(*SHORT)
        wait_for(b"> ")
        type_in(b"\x1b[A\x1b[A")  # up twice: past /exit
        wait_for(b"/set top_k 11")
        type_in(b"\r")
        wait_for(b"[top_k 11]")

    def test_tab_completes_a_command(self):
        _, type_in, wait_for = self.at_terminal(*SHORT)
        wait_for(b"> ")
        type_in(b"/sta\t\r")
        wait_for(b"answers, ")

    def test_ctrl_c_stops_a_long_answer_which_regenerate_then_replaces(self):
        running, type_in, wait_for = self.at_terminal("--max-new-tokens", "60000", "--ctx", "65536", "--ignore-eos",
                                                      "--seed", "1")
        wait_for(b"> ")
        type_in(b"hello\r")
        wait_for(b"hello")
        time.sleep(1)
        running.send_signal(signal.SIGINT)
        wait_for(b"stopped]")
        wait_for(b"> ")
        type_in(b"/set max_new_tokens 3\r")
        wait_for(b"[max_new_tokens 3]")
        type_in(b"/regenerate\r")
        wait_for(b"[3 tokens")

    def test_regenerate_that_is_stopped_before_it_began_keeps_the_old_answer(self):
        asked = "one two three four five six " * 2200
        talk = {"schema": "chaski.chat/1", "model": TINY, "lora": None, "settings": {},
                "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": "the old answer"}]}
        (self.home / "old.json").write_text(json.dumps(talk))
        running, type_in, wait_for = self.at_terminal(*SHORT, "--ctx", "65536")
        wait_for(b"> ")
        type_in(f"/load {self.home}/old.json\r".encode())
        wait_for(b"[loaded")
        wait_for(b"> ")
        type_in(b"/regenerate\r")
        wait_for(b"\n")
        time.sleep(0.3)
        running.send_signal(signal.SIGINT)
        wait_for(b"stopped before an answer began")
        wait_for(b"> ")
        type_in(f"/save {self.home}/talk.json\r".encode())
        wait_for(b"[saved in")
        saved = self.saved()
        self.assertEqual(saved["messages"], talk["messages"])
        self.assertEqual(saved["settings"]["seed"], 1)


if __name__ == "__main__":
    unittest.main()
