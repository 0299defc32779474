"""The table of all columns. Schemas, sums and means, selection, page, dataset card and docs/data.md are drawn from it.

A new score is an entry here, and a value in the round by the code that computes it. The order of the table is that of
the files; a column that is added comes last, so that two versions differ by what is missing at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from evolve.confidence import BINS
from ray_jobs.output.column import (
    Column,
    Held,
    Measure,
    Origin,
    Scale,
    characters_of,
    perplexity_of,
    perplexity_ratio,
    words_of,
)

TEXT, INT, LONG, FLOAT = pa.string(), pa.int32(), pa.int64(), pa.float64()
RATIOS, WORDS = Scale(0, 3, 1200), Scale(-0.5, 3999.5, 4000)


def _key(name: str, kind: pa.DataType, origin: Origin, meaning: str) -> Column:
    """A column that every record has, kept or not."""
    return Column(name, kind, origin, meaning, kept="required", rejected="required")


def _shared(name: str, kind: pa.DataType, origin: Origin, meaning: str, summed: bool = False) -> Column:
    """A column that kept and rejected records may have."""
    return Column(name, kind, origin, meaning, rejected="nullable", summed=summed)


def _text(name: str, meaning: str, in_rejected: str) -> Column:
    """A text that every kept record has, and others as far as they came."""
    return Column(name, TEXT, "round", meaning, kept="required", rejected="nullable", in_rejected=in_rejected)


def _outcome(name: str, meaning: str) -> Column:
    """Why a record was not kept."""
    return Column(name, TEXT, "round", kept="absent", rejected="required", in_rejected=meaning)


_KEYS = (
    _key("record_id", TEXT, "layout", "`row_id` and the round: `ROW-ROUND`; unique in the dataset"),
    _key("row_id", TEXT, "row", "digest of seed, fingerprint of the strategy, evolver and sample; 32 hex digits"),
    _key("seed_id", TEXT, "row", "digest of the seed's instruction and input ([seeds.md](seeds.md)); 32 hex digits"),
    _key(
        "parent_id", TEXT, "layout", "what the round evolved: `record_id` of the last kept round before, or `seed_id`"
    ),
    _key("round", INT, "round", "from 1; 0 in outputs of `evolve score` and `evolve respond`, which evolve nothing"),
    _shared(
        "strategy", TEXT, "run", "`evol_instruct`, `auto_evol` or `autoif` ([autoif.md](autoif.md)); null if none ran"
    ),
    _shared("operator", TEXT, "round", "how the round made the instruction harder"),
    _shared("evolver", TEXT, "row", "the evolver's name in the configuration"),
    _shared("evolver_model", TEXT, "layout", "its model"),
)

_OUTCOME = (
    _outcome("status", "`rejected` or `failed`"),
    _outcome("stage", "`read`, `evolve`, `respond` or `score`; AutoIF's are its steps"),
    _outcome("reason", "the rule's name, or the error's class"),
    Column("error", TEXT, "round", kept="absent", rejected="nullable", in_rejected="the error's message"),
)

_TEXTS = (
    _text("instruction", "the evolved instruction", "what was rejected, or the text that broke"),
    _key("input", TEXT, "row", "the seed's input, carried along; empty where it has none"),
    _text("output", "the response", "the response that was rejected"),
    _key("seed_instruction", TEXT, "row", "the seed's instruction"),
    Column("responder_model", TEXT, "layout", "what answered; with `responder: {kind: evolver}` the evolver's model"),
    Column("evolve_finish_reason", TEXT, "round", "`stop`, or `length` where the evolver ran into a limit"),
    Column("respond_finish_reason", TEXT, "round", "the same for the response"),
)

_ENGINES = (
    _shared("prompt_tokens", LONG, "round", "tokens that evolver and responder read, by their tokenizers", summed=True),
    _shared("completion_tokens", LONG, "round", "tokens that they wrote", summed=True),
    Measure(
        "mean_top1_prob",
        FLOAT,
        "round",
        "mean probability of the most likely token over the evolver's answer, before temperature and top-p; null on "
        "the rows that `confidence_share` leaves out",
        mean=True,
        label="top-1 probability",
        scale=Scale(0, 1, 400),
    ),
    Column(
        "top1_counts_first",
        pa.list_(INT),
        "round",
        f"how many of the first five positions of the reply have this probability in each of {BINS} equal bins from 0 "
        "to 1; null in records of version 0.1",
    ),
    Column("top1_counts_rest", pa.list_(INT), "round", "the same for the positions after them"),
)

_SCORES = (
    Column("scorer_model", TEXT, "run", "what scored; null without a scorer"),
    Column(
        "loss_q",
        FLOAT,
        "round",
        "L(Q): mean cross-entropy of the question's tokens, in nats",
        order="lowest",
        mean=True,
    ),
    Column("loss_a_given_q", FLOAT, "round", "L(A|Q): of the response's tokens after the question"),
    Column("loss_a", FLOAT, "round", "L(A): of the response's tokens alone"),
    Column("n_q", INT, "round", "the tokens of the question, over which L(Q) averages", order="lowest"),
    Column("n_a", INT, "round", "the positions that L(A|Q) averages over"),
    Measure(
        "ifd",
        FLOAT,
        "round",
        "L(A|Q) / L(A)",
        order="highest",
        mean=True,
        label="IFD",
        scale=RATIOS,
        headline=True,
        about="L(A|Q) / L(A): how little the instruction helps with its answer. Above 1 it makes the answer less "
        "likely than it is alone.",
    ),
    Measure(
        "ic_ifd",
        FLOAT,
        "round",
        "L(A|Q) / (L(Q) L(A)), the score by which the paper selects",
        order="highest",
        mean=True,
        label="IC-IFD",
        scale=RATIOS,
        unit="1/nat",
        headline=True,
        about="L(A|Q) / (L(Q) · L(A)): how little the instruction helps with its answer, for what the instruction "
        "itself is worth to the scorer. The paper's selection keeps the highest.",
    ),
    Column(
        "instruction_length",
        INT,
        "round",
        "tokens of the instruction, without its input, by the scorer's tokenizer; null unless asked for",
        order="lowest",
    ),
    Column("reward_model", TEXT, "run", "the reward model; null without one"),
    Measure(
        "reward",
        FLOAT,
        "round",
        "the reward model's single logit for instruction, input and response; null without one",
        order="highest",
        mean=True,
        analysis="reward",
        label="reward",
        scale=Scale(-50, 50, 2000),
        unit="logit",
        decimals=2,
    ),
    Column("score_note", TEXT, "round", "why a score is null, or deserves a second look"),
)

TEXTS, NUMBERS = pa.list_(TEXT), pa.list_(FLOAT)
_SEVERAL = (
    _shared(
        "answers",
        TEXTS,
        "round",
        "all answers that `responder.answers` asked for, in the engine's order, turned down ones too; null "
        "where it asked for one ([answers.md](answers.md))",
    ),
    _shared("answer_reasoning", TEXTS, "round", "what the responder thought aloud before each"),
    _shared("answer_finish_reasons", TEXTS, "round", "`stop` or `length` for each; null for one that failed"),
    _shared("answer_tokens", pa.list_(LONG), "round", "tokens that the responder wrote for each, thoughts included"),
    _shared("answer_faults", TEXTS, "round", "the rule that turned each down, or its error; null for one that stood"),
    _shared("answer_finals", TEXTS, "round", "what each ends with, as it is compared; under `agreement` alone"),
    _shared("answer_scores", NUMBERS, "round", "the score of each by the rule that chooses; null for one without"),
    Column("answer_index", INT, "round", "which of `answers`, from 0, is `output`"),
    Column(
        "answer_score",
        FLOAT,
        "round",
        "its score among `answer_scores`; of AutoIF's responses with pairs the accuracy",
        order="highest",
        mean=True,
    ),
    Column(
        "answer_spread",
        FLOAT,
        "round",
        "from the lowest to the highest of `answer_scores`",
        order="highest",
        mean=True,
    ),
    Column("chosen_by", TEXT, "round", "the rule that chose; `first` where no answer has a score; `checker` in AutoIF"),
    Column("rejected_scores", NUMBERS, "round", "the scores of `rejected_outputs`, one each"),
    _shared(
        "seed_output", TEXT, "row", "the seed's own answer, where it has one; null in scored pairs, whose output it is"
    ),
    _shared(
        "answer_matches",
        pa.list_(INT),
        "round",
        "of several answers whether each, 1 or 0, ends as `seed_output` does; null for one that fell",
    ),
    Column(
        "reference_match",
        INT,
        "round",
        "1 where the final answer of `output` is that of `seed_output`, 0 where it is another; null where the seed has "
        "none or the task is no longer the seed's",
        order="highest",
        mean=True,
    ),
)

_REST = (
    Column(
        "trajectory",
        TEXT,
        "round",
        "JSON of the strategy's own account (Auto Evol-Instruct: its methods and plan); null otherwise",
        rejected="nullable",
        in_rejected="as above",
    ),
    Column(
        "rejected_outputs",
        pa.list_(TEXT),
        "round",
        "responses to the same question that are known to be worse (AutoIF, or of several answers); null otherwise",
    ),
    _key("run_id", TEXT, "run", "digest of the settings that change results"),
    _shared("created_at", pa.timestamp("us", tz="UTC"), "row", "when the evolver finished the row"),
    _key("plan_row", LONG, "row", "the row's number in the plan"),
    _shared("seed_index", LONG, "row", "the seed's number in the plan, from 0: the i of the round-robin rule"),
    _shared("sample", INT, "row", "from 0"),
    _shared(
        "seed_row",
        TEXT,
        "layout",
        "of pairs that `evolve score` took, as JSON: `file`, `line` (or the number of the row) and the other `columns` "
        "of the pair, so that scores join back; null otherwise",
    ),
    Column(
        "loss_instruction",
        FLOAT,
        "round",
        "mean cross-entropy of the instruction's tokens without its input, in nats; null unless asked for",
        order="lowest",
    ),
    _shared("reasoning", TEXT, "round", "what the responder thought aloud first ([models.md](models.md)), if it did"),
    _shared("reasoning_tokens", LONG, "round", "of `completion_tokens`, all models' thoughts; null in version 0.1"),
    Column("evolver_reasoning", TEXT, "round", "what the evolver thought aloud, where `keep_thoughts` asks for it"),
    *_SEVERAL,
)

COLUMNS: Sequence[Column] = (*_KEYS, *_OUTCOME, *_TEXTS, *_ENGINES, *_SCORES, *_REST)
"""The columns of the output's files, in their order."""

DERIVED: Sequence[Column] = (
    Column(
        "ifd_ppl",
        FLOAT,
        "reading",
        "exp(L(A|Q)) / exp(L(A)), IFD as Superfiltering has it (arXiv 2402.00530)",
        order="highest",
        derived=perplexity_ratio("loss_a_given_q", "loss_a"),
    ),
    Column(
        "perplexity",
        FLOAT,
        "reading",
        "exp(L(Q)), of the instruction with its input",
        order="lowest",
        derived=perplexity_of("loss_q"),
    ),
    Column(
        "instruction_perplexity",
        FLOAT,
        "reading",
        "exp(loss_instruction), of the instruction alone",
        order="lowest",
        derived=perplexity_of("loss_instruction"),
    ),
    Measure(
        "instruction_words",
        FLOAT,
        "reading",
        "words between white space in the instruction",
        order="lowest",
        derived=words_of("instruction"),
        label="instruction length",
        scale=WORDS,
        unit="words",
        decimals=1,
    ),
    Column(
        "instruction_characters",
        FLOAT,
        "reading",
        "Unicode characters of the instruction",
        order="lowest",
        derived=characters_of("instruction"),
    ),
    Measure(
        "output_words",
        FLOAT,
        "reading",
        "words between white space in the response",
        derived=words_of("output"),
        label="response length",
        scale=WORDS,
        unit="words",
        decimals=1,
    ),
)
"""Numbers that readers work out of columns; no file has them."""


def _analysed(
    name: str, analysis: str, label: str, unit: str, scale: Scale, decimals: int, kind: pa.DataType = FLOAT
) -> Measure:
    """A number that an analysis leaves beside the records (docs/analyses.md)."""
    return Measure(
        name,
        kind,
        "reading",
        kept="absent",
        order="highest",
        analysis=analysis,
        label=label,
        scale=scale,
        unit=unit,
        decimals=decimals,
    )


ANALYSED: Sequence[Column] = (
    _analysed("difficulty_score", "difficulty_score", "difficulty score", "points of 100", Scale(-0.5, 100.5, 101), 1),
    _analysed("difficulty_level", "difficulty", "difficulty level", "levels, 1 to 5", Scale(0.5, 5.5, 5), 2, INT),
    _analysed("neighbour_distance", "diversity", "neighbour distance", "squared L2", Scale(0, 2, 800), 3),
    Column("repeats", INT, "reading", kept="absent", order="lowest", analysis="diversity"),
)
"""Columns of the tables that analyses leave, by which records are selected or compared."""

BY_NAME: Mapping[str, Column] = {column.name: column for column in (*COLUMNS, *DERIVED, *ANALYSED)}
SUMMED: Sequence[str] = [column.name for column in COLUMNS if column.summed or column.mean]
"""The columns of kept records that the manifest has sums of."""
MEASURES: Sequence[Measure] = sorted(
    (column for column in BY_NAME.values() if isinstance(column, Measure)), key=lambda column: not column.headline
)
"""What people look at, headlines first."""
HEADLINES: Sequence[Measure] = [measure for measure in MEASURES if measure.headline]
MEANS: Sequence[Column] = [*HEADLINES, *(column for column in COLUMNS if column.mean and column not in HEADLINES)]
"""The columns whose means report.json has, in its order."""


def kept_schema() -> pa.Schema:
    """The columns of data/*.parquet."""
    return _schema({column: column.kept for column in COLUMNS})


def rejected_schema() -> pa.Schema:
    """The columns of rejected/*.parquet."""
    return _schema({column: column.rejected for column in COLUMNS})


def _schema(held: Mapping[Column, Held]) -> pa.Schema:
    return pa.schema(
        [pa.field(item.name, item.type, nullable=how == "nullable") for item, how in held.items() if how != "absent"]
    )
