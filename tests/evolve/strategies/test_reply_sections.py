"""Every way in which a four-step reply may be laid out."""

from __future__ import annotations

import time

import pytest

from evolve.strategies.reply_sections import parse_reply

TASK = "Describe how crepes are made, and name two mistakes that beginners make."


@pytest.mark.parametrize(
    "heading",
    [
        "Final rewritten instruction:",
        "Finally Rewritten Instruction:",
        "FINAL REWRITTEN INSTRUCTION:",
        "Final Rewritten Instruction",
        "**Final Rewritten Instruction:**",
        "**Final Rewritten Instruction**:",
        "**Final Rewritten Instruction**",
        "*Finally Rewritten Instruction*:",
        "__Final Rewritten Instruction__:",
        "#Finally Rewritten Instruction#:",
        "#Finally Rewritten Instruction#",
        "## Final Rewritten Instruction",
        "### **Final Rewritten Instruction:**",
        "Step 4: Final Rewritten Instruction:",
        "Step 4: Final Rewritten Instruction",
        "**Step 4:** Final Rewritten Instruction:",
        "**Step 4: Final Rewritten Instruction**",
        "### Step 4 - Finally Rewritten Instruction:",
        "Step 4 #Finally Rewritten Instruction#:",
        "Step 4. Final rewritten instruction:",
        "4. Final Rewritten Instruction:",
        "4) **Final Rewritten Instruction**:",
        "(4) Final Rewritten Instruction:",
        "- Final Rewritten Instruction:",
        "> Final Rewritten Instruction:",
        "Final Re-written Instruction:",
        "Final_Rewritten_Instruction:",
        "Finalised rewritten task:",
        "Final Instruction:",
        "Final revised prompt:",
        "Here is the final rewritten instruction:",
        "The final rewritten instruction is:",
        "The final rewritten instruction is as follows:",
        "So, the final rewritten instruction is:",
        "Final Rewrite:",
        "Reviewed and Finally Rewritten Instruction:",
        "Final Rewritten Instruction (12 words longer):",
        "Final Rewritten Instruction：",
    ],
)
@pytest.mark.parametrize("gap", ["\n", "\n\n"])
def test_final_heading_with_the_text_below(heading: str, gap: str) -> None:
    assert parse_reply(f"Methods:\n- one\n\n{heading}{gap}{TASK}\n").final == TASK


@pytest.mark.parametrize(
    "line",
    [
        f"Final rewritten instruction: {TASK}",
        f"**Final Rewritten Instruction:** {TASK}",
        f"**Final Rewritten Instruction**: {TASK}",
        f"**Final Rewritten Instruction** {TASK}",
        f"#Finally Rewritten Instruction#: {TASK}",
        f"#Finally Rewritten Instruction# {TASK}",
        f"Step 4: Final Rewritten Instruction: {TASK}",
        f"4. Final Rewritten Instruction - {TASK}",
        f"Final Rewritten Instruction – {TASK}",
        f'Final Rewritten Instruction: "{TASK}"',
        f"Final Rewritten Instruction: “{TASK}”",
        f"Final Rewritten Instruction: **{TASK}**",
        f"Final Rewritten Instruction:\n```\n{TASK}\n```",
        f"Final Rewritten Instruction:\n```text\n{TASK}\n```",
    ],
)
def test_final_text_beside_its_heading_or_enclosed(line: str) -> None:
    assert parse_reply(f"Some plan.\n{line}").final == TASK


@pytest.mark.parametrize(
    "reply",
    [
        "",
        TASK,
        "Methods:\n- add a constraint\n\nPlan:\nDo it.\n\nRewritten instruction:\n" + TASK,
        "Step 4: I reviewed it and it is fine.",
        "We then write the final rewritten instruction: it is better.",
        "The final rewritten instruction should be clear.",
        'Step 4. Under the heading "Final rewritten instruction:" give the mended text alone.',
        "Final version of the essay: none",
    ],
)
def test_without_the_final_heading_there_is_no_final_instruction(reply: str) -> None:
    assert parse_reply(reply).final is None


@pytest.mark.parametrize("reply", ["Final Rewritten Instruction:", "**Final Rewritten Instruction:**\n\n", "Final:\n"])
def test_an_empty_final_is_empty_not_missing(reply: str) -> None:
    assert parse_reply(reply).final == (None if reply == "Final:\n" else "")


def test_of_several_finals_the_last_filled_one_counts() -> None:
    assert parse_reply(f"Final rewritten instruction: draft\n\nFinal rewritten instruction: {TASK}").final == TASK
    assert parse_reply(f"Final rewritten instruction: {TASK}\n\nFinal rewritten instruction:\n").final == TASK


@pytest.mark.parametrize(
    "commentary",
    [
        "Explanation: I added a constraint.",
        "**Explanation:** I added a constraint.",
        "### Changes made\n- a constraint",
        "Review:\nIt is clear.",
        "Note: the rewritten instruction is 12 words longer.",
        "(Note: this keeps the instruction short.)",
        "This rewritten instruction adds a constraint.",
        "The revised version keeps the original goal.",
        "This version adds a second requirement.",
        "I have added 12 words to the instruction.",
        "I've combined both methods.",
        "Let me know if you want changes!",
        "Please let me know if you want changes!",
        "I hope this helps!",
        "(14 words added)",
        "Word count: 31",
        "---\n\nExplanation: one constraint.",
    ],
)
def test_commentary_after_the_final_is_cut_off(commentary: str) -> None:
    assert parse_reply(f"Final rewritten instruction:\n{TASK}\n\n{commentary}").final == TASK


@pytest.mark.parametrize(
    "task",
    [
        "Tom has 3 apples.\n\nI have added 3 more. How many are there?",
        "Write a business plan with these parts.\n\nPlan:\nMethods:\nBudget:",
        "Solve this.\n\nNote: assume that no interest is paid.",
        "Write a story.\n\n(Use at most 500 words.)",
        "Fix the code.\n\n```python\n# Step 1: read\n\nExplanation: str = ''\n---\n```",
        "**Task** Write a poem about **rain**.",
        '"Hope" is a word. Use it in a sentence that ends with "rain"',
        "This version of the recipe lacks sugar. Mend it.",
        "Look at the two versions.\n\nThis version of the recipe lacks sugar.",
        "Do three things.\n\n1. Read.\n2. Think.\n\nThen write.",
    ],
)
def test_a_task_keeps_what_only_looks_like_commentary(task: str) -> None:
    assert parse_reply(f"Final rewritten instruction:\n{task}").final == task


FOUR_STEPS = """Step 1: **Methods List**
1. Add a constraint
2. **Ask for reasons**: why each step
   - at least two
   that are not obvious
3. Name an audience

Step 2: Plan:
Combine 1 and 3.
Step 1: first the constraint.

Step 3: Rewritten Instruction:
Draft.

Step 4: Final Rewritten Instruction:
Do it.
"""


def test_methods_and_plan_are_kept() -> None:
    sections = parse_reply(FOUR_STEPS)
    assert sections.methods == (
        "Add a constraint",
        "Ask for reasons: why each step at least two that are not obvious",
        "Name an audience",
    )
    assert sections.plan == "Combine 1 and 3.\nStep 1: first the constraint."
    assert sections.final == "Do it."


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        ("- a\n- b", ("a", "b")),
        ("* a\n• b", ("a", "b")),
        ("(1) a\n2) b", ("a", "b")),
        ("a) one\nb) two", ("one", "two")),
        ("one thing\nanother thing", ("one thing", "another thing")),
        ("", ()),
    ],
)
def test_lists_of_methods(methods: str, expected: tuple[str, ...]) -> None:
    assert parse_reply(f"Methods:\n{methods}\n\nPlan: x").methods == expected


def test_headings_of_wizardlm_style_prompts() -> None:
    sections = parse_reply(
        "Step 1 #Methods List#:\n- a\n\nStep 2 #Plan#:\np\n\nStep 3 #Rewritten Instruction#:\nr\n\n"
        "Step 4 #Finally Rewritten Instruction#:\nf"
    )
    assert (sections.methods, sections.plan, sections.final) == (("a",), "p", "f")


def test_steps_without_names_still_give_methods_and_plan() -> None:
    sections = parse_reply("Step 1:\n- a\n- b\n\nStep 2: p\n\nStep 3: r\n\nFinal rewritten instruction: f")
    assert (sections.methods, sections.plan, sections.final) == (("a", "b"), "p", "f")


SEVEN_STEPS = """Step 1: Understand
It is about crepes.
Step 2: Goal
Harder, still in English.
Step 3: Pitfalls
None.
Step 4: Techniques
- a limit
Step 5: Draft
Describe crepes in ten words.
Step 6: Criticism
Fine.
Step 7: Final rewritten instruction:
Describe crepes in ten words.
Step 8 of the recipe comes first."""


def test_steps_of_another_method_are_neither_methods_nor_plan() -> None:
    sections = parse_reply(SEVEN_STEPS)
    assert (sections.methods, sections.plan) == ((), "")
    assert sections.final == "Describe crepes in ten words.\nStep 8 of the recipe comes first."


def test_methods_and_plan_are_read_wherever_their_headings_stand() -> None:
    sections = parse_reply(SEVEN_STEPS.replace("Techniques", "Methods list").replace("Goal", "Plan"))
    assert (sections.methods, sections.plan) == (("a limit",), "Harder, still in English.")


def test_steps_of_the_final_instruction_do_not_count() -> None:
    sections = parse_reply("Step 1:\n- a\nStep 2: p\nFinal rewritten instruction:\nDo this.\nStep 9: stop")
    assert (sections.methods, sections.plan) == (("a",), "p")


def test_a_reply_with_a_final_alone_has_no_methods_and_no_plan() -> None:
    sections = parse_reply(f"Final rewritten instruction: {TASK}")
    assert (sections.methods, sections.plan) == ((), "")


@pytest.mark.parametrize("unit", ["*", "-", "_", " ", "#", "1", "\n", "(", '"', "Step 4 ", "words ", "```\n"])
def test_endless_repeats_are_read_in_linear_time(unit: str) -> None:
    began = time.perf_counter()
    parse_reply("Final Rewritten Instruction" + unit * (200_000 // len(unit)))
    assert time.perf_counter() - began < 5
