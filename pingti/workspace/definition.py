"""A label task's definition: the TOML file that its owner writes."""

import dataclasses
import datetime
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from pingti.corpus.columns import Columns, Quoting, TimeUnit, dated_form, known_encoding, one_character
from pingti.errors import DefinitionError, Fault, InputError
from pingti.validation import errors_at, faults_of, sentence
from textcnn.architecture import Architecture

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""A task's or an operating point's name: it becomes a file name and a column name."""

HUB_NAME = re.compile(r"(?!\.)[\w.-]{1,96}(/(?!\.)[\w.-]{1,96})?", re.ASCII)
"""A model of the hub, not a path."""


_KEYS = re.compile(r"(^|[-_])(key|token|secret|password)$|apikey$", re.IGNORECASE)
"""Names of parameters of an address that hold a key."""


def _pattern(value: str) -> str:
    try:
        pc.match_substring_regex(pa.array([""]), value)  # Arrow's engine is RE2
    except pa.ArrowInvalid as error:
        raise ValueError(f"{value!r} is not a regular expression of RE2: {error}") from error
    return value


def _dependency(value: str) -> str:
    task, _, label = value.partition("=")
    if not NAME.fullmatch(task) or not label:
        raise ValueError(f'{value!r} is not of the form "task=class"')
    return value


def _local(value: datetime.time) -> datetime.time:
    # A bare number too becomes a time with a zone: seconds since midnight, UTC.
    if value.tzinfo is not None:
        raise ValueError('needed is a local time without a zone, such as "02:00"')
    return value


Pattern = Annotated[str, AfterValidator(_pattern)]
Dependency = Annotated[str, AfterValidator(_dependency)]
FilePath = Annotated[str, Field(min_length=1)]
"""A path, a pattern, an address or a hub name."""
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Decide = Literal["label", "sum"]
"""What speaks for a class where several labels stand for it: the likeliest of them, or their sum."""


def check_name(task: str) -> None:
    """Refuse what cannot be a task's name.

    Raises:
        DefinitionError: with what is allowed.
    """
    if not NAME.fullmatch(task):
        raise DefinitionError(f"task {task!r}: not a name; allowed are a-z, 0-9 and _, a letter first")
    if task == "id":
        raise DefinitionError("task 'id': the results have a column of that name; take another")


def name_after(thing: str) -> str:
    """A task's name after a label or a folder; empty where that holds no letter of a to z.

    Args:
        thing: the label's or folder's name.
    """
    name = re.sub("[^a-z0-9]+", "_", thing.lower()).strip("_").lstrip("0123456789_")[:63].rstrip("_")
    return name if NAME.fullmatch(name) and name != "id" else ""


class _Section(BaseModel):
    # Strict, since TOML tells numbers, strings and booleans apart: `filters = true` is a mistake, not 1.
    # Tuples alone are not, which are lists there; what is in them is.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CorpusSection(_Section):
    """Where the past texts are."""

    files: tuple[FilePath, ...] = Field(min_length=1, strict=False)
    """Paths, patterns or URLs; a relative path counts from `workspace/tasks`."""
    text: str = "text"
    """Column of the text."""
    id: str | None = None
    """Column of the row's id; the row's number where absent."""
    time: str | None = None
    """Column of the row's time (timestamp, date, Unix time); file order stands for it if absent."""
    time_format: Annotated[str, AfterValidator(dated_form)] | None = None
    """How a time that is text is written, where it is not read without: "%d.%m.%Y %H:%M" (strptime's)."""
    time_unit: TimeUnit | None = None
    """Unit of a time that is a number since 1970; by its size if absent."""
    delimiter: Annotated[str, AfterValidator(one_character)] | None = None
    """CSV and TSV: what separates fields; by the file's name and header if absent."""
    quoting: Quoting = "auto"
    """CSV and TSV: whether fields may stand in quotes. "auto": yes in CSV, and in TSV if the header does; a
    quoted field over several lines that each look like a row is reported as a bad row. "quoted": yes, and
    such a field is taken as it is. "none": no, a quote is a letter like any other."""
    escape: Annotated[str, AfterValidator(one_character)] | None = None
    """CSV and TSV: what stands before a quote in quotes, such as a backslash; they are doubled if absent."""
    encoding: Annotated[str, AfterValidator(known_encoding)] | None = None
    """Of text files, such as "gb18030"; UTF-8 if absent."""

    @property
    def columns(self) -> Columns:
        """The same for the reader."""
        return Columns(**self.model_dump(exclude={"files"}))


class RulesSection(_Section):
    """Regular expressions (RE2), the same at training and at scoring."""

    drop: tuple[Pattern, ...] = Field(default=(), strict=False)
    """A text that matches is no text at all: it is never trained on and gets no label."""
    negative: tuple[Pattern, ...] = Field(default=(), strict=False)
    """A text that matches is of the first class, no model asked."""


class AnswerColumnsSection(_Section):
    """How the files of `teacher.answers` are written, and what their columns are named."""

    text: str | None = None
    """Of the text; as `corpus.text` if absent."""
    id: str | None = None
    """Of the corpus's id, for rows without a text; as `corpus.id` if absent."""
    label: str = "label"
    """Of the label, where there are no `scores`."""
    scores: dict[str, str] = {}
    """The column of each label's score, numbers from 0 up that are divided by their sum. Of one label alone,
    or with `teacher.label`, each is a probability of its own, from 0 to 1."""
    time: str | None = None
    """Of the time of an answer: of several answers for a text the newest counts; if absent, none does where
    they differ."""
    time_format: str | None = None
    """As of the corpus."""
    time_unit: TimeUnit | None = None
    """As of the corpus."""
    delimiter: Annotated[str, AfterValidator(one_character)] | None = None
    """As of the corpus."""
    quoting: Quoting = "auto"
    """As of the corpus."""
    escape: Annotated[str, AfterValidator(one_character)] | None = None
    """As of the corpus."""
    encoding: Annotated[str, AfterValidator(known_encoding)] | None = None
    """As of the corpus."""


class EndpointSection(_Section):
    """A service that answers in a model's place."""

    kind: Literal["chat", "classifier"]
    """"chat": chat completions of the OpenAI form. "classifier": texts in, scores out, as of Hugging Face."""
    url: str = Field(pattern="^https?://.", max_length=2048)
    """All of it, such as "https://host/v1/chat/completions"."""
    model: str | None = None
    """The service's name of the model; needed for "chat"."""
    instruction: str = ""
    """For "chat": what is asked of each text."""
    descriptions: dict[str, str] = {}
    """For "chat": what each label means; the labels are its keys, or `classes` if absent."""
    labels: tuple[str, ...] = Field(default=(), strict=False)
    """For "classifier": the labels that it answers; `classes` if absent."""
    output: Literal["json_schema", "choice"] = "json_schema"
    """For "chat": how the answer is held to a label: `response_format` with a JSON schema, or the guided
    choice of vLLM."""
    logprobs: bool = True
    """For "chat": read probabilities from the answer's log probabilities, where the service gives them."""
    votes: int = Field(default=1, ge=1, le=25)
    """For "chat": so often a text is asked where there are no log probabilities; the votes' shares count."""
    key_variable: str | None = Field(default=None, pattern="^PINGTI_TEACHER_KEY(_[A-Z0-9_]+)?$")
    """Environment variable that holds the key: PINGTI_TEACHER_KEY, or a name that begins so."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Requests at one time."""
    seconds: float = Field(default=60.0, gt=0.0, le=3600.0)
    """For one request, from the connection to the last byte."""
    attempts: int = Field(default=6, ge=1, le=20)
    """Of a request; between them is a pause that doubles, or the one that the service asks for."""
    batch: int = Field(default=16, ge=1, le=1024)
    """For "classifier": texts of a request."""
    most_tokens: int | None = Field(default=None, ge=1)
    """Of all requests of a run, as the service counts them; then no further text is asked about."""
    most_money: float | None = Field(default=None, gt=0.0)
    """The same in money, by the prices below."""
    price_in: float = Field(default=0.0, ge=0.0)
    """Of a million tokens sent."""
    price_out: float = Field(default=0.0, ge=0.0)
    """Of a million tokens answered."""

    @field_validator("url")
    @classmethod
    def _without_key(cls, value: str) -> str:
        # Not shown: it may be a key.
        parts = urlsplit(value)
        if parts.username is not None or any(_KEYS.search(name) for name, _ in parse_qsl(parts.query)):
            raise ValueError(
                "holds a key or a password; key_variable names the variable of the environment that has it"
            )
        if not parts.hostname or not value.isprintable() or " " in value:
            raise ValueError("is not an address that can be used")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "chat" and self.model is None:
            raise ValueError('model is missing: a "chat" endpoint needs the name of the model')
        if self.kind == "classifier" and (self.most_tokens or self.most_money):
            raise ValueError('a "classifier" endpoint counts no tokens; teacher.budget bounds its rows')
        if self.most_money is not None and not self.price_in + self.price_out:
            raise ValueError("most_money needs price_in or price_out, by which the money is counted")
        return self


class TeacherSection(_Section):
    """The BERT that the student replaces; or answers on file, an endpoint, or a function of Python."""

    model: str = ""
    """A folder (relative to `workspace/tasks`), a hub name, or "task:NAME" for another task's teacher.
    "python:NAME" stands for a function that `pingti.replace` is given. Absent where `answers` or `endpoint`
    are there."""
    answers: tuple[FilePath, ...] = Field(default=(), strict=False)
    """Files of stored answers (paths, folders, patterns): Parquet, CSV, TSV or JSONL. They cost nothing;
    without a model or endpoint they are all there is, and the run chooses among their texts."""
    answer_columns: AnswerColumnsSection = AnswerColumnsSection()
    endpoint: EndpointSection | None = None
    vectors: FilePath | None = None
    """Folder of a sentence model or of a similarity student, whose vectors tell what is near what where the
    teacher has none; the student's own features do if absent."""
    labels: FilePath | None = None
    """JSONL, CSV, TSV or Parquet file with text (or the corpus's id) and label; round 1 starts from it."""
    fine_tune: bool = True
    """Where there are labels, whether the model is fine-tuned on them first; false: it is taken as it is."""
    map: dict[str, str] = {}
    """Which class a label of the model stands for; "*" names the class of all others."""
    label: str | None = None
    """The output that the task asks for, of a model that answers each by itself (multi-label, sigmoid)."""
    decide: Decide = "label"
    """Where several labels are mapped to a class. "label": the class of the likeliest label, as the model
    itself decides. "sum": the class whose labels' probabilities have the largest sum."""
    threshold: float | None = Field(default=None, gt=0.0, lt=1.0)
    """In tasks of two classes: the second is decided where the probability of its likeliest label (of "sum",
    of all its labels) is at or above this; the likelier class if absent."""
    max_length: int = Field(default=64, ge=8, le=512)
    """Word pieces of a text that the model reads."""
    precision: Literal["float32", "bfloat16", "int8"] | None = None
    """What the model computes with; bfloat16 on a GPU and float32 on a CPU if absent, int8 for CPUs alone."""
    budget: int = Field(default=50_000, ge=100)
    """Rows that the model may be asked about in one run. Measuring (holdout, validation rows, texts apart)
    takes a fifth of them at most, rows that people labelled half of the rest at most; the rounds have what is
    left."""
    epochs: int | None = Field(default=None, ge=1, le=100)
    """Fine-tuning: passes over the labelled rows at most; if absent 6, or as many as make 400 steps."""
    learning_rate: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Fine-tuning: highest rate; if absent by the encoder's width, 4e-4 for small ones to 2e-5 for large."""
    freeze_layers: int = Field(default=0, ge=0)
    """Fine-tuning: so many of the lowest layers stay as they are; quicker, and steadier on few labels."""
    margin: float = Field(default=0.1, ge=0.0, lt=0.5)
    """A row whose two likeliest classes are closer than this is a boundary row: it goes to a person."""
    boundary: Literal["learn", "leave"] = "learn"
    """Whether students learn what the teacher says of boundary rows, too, or are trained without them."""

    @property
    def tuned(self) -> bool:
        """Whether a model is fine-tuned on `labels` first; nobody else who answers is."""
        own = bool(self.model) and not self.model.startswith(("task:", "python:"))
        return own and self.labels is not None and self.fine_tune

    @model_validator(mode="after")
    def _somebody_answers(self) -> Self:
        if not (self.model or self.answers or self.endpoint):
            raise ValueError("nobody answers: needed is a model, answers or an endpoint")
        if self.model and self.endpoint:
            raise ValueError("model and endpoint are both given; one of them answers")
        if self.model.startswith("task:") and self.answers:
            raise ValueError(f"answers belong to the task that has the teacher, {self.model[5:]!r}")
        return self


class TransformerSection(_Section):
    """Students of the kind "transformer": from which layers they start, and how they are trained."""

    checkpoint: FilePath | None = None
    """A small model of BERT's kind, a folder (relative to `workspace/tasks`) or a hub name, from whose layers
    the student starts; the teacher itself if absent."""
    layers: int = Field(default=2, ge=1, le=48)
    """So many of its layers, spread evenly, are taken. The last one works for the head alone and costs about
    a quarter of any other; a student of one layer is several times as fast as one of two."""
    max_length: int | None = Field(default=None, ge=8, le=512)
    """Word pieces of a text that are read; as many as the teacher reads if absent."""
    epochs: int | None = Field(default=None, ge=1, le=100)
    """Passes over the rows; if absent 6, or so many more that there are 1,500 steps, 40 at most."""
    learning_rate: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Highest rate; if absent by the model's width, as `teacher.learning_rate`."""


class StudentSection(_Section):
    """The student's kind and shape. The defaults did best on Chinese and English short texts."""

    kind: Literal["textcnn", "ngram", "transformer", "auto"] = "textcnn"
    """What computes. "textcnn": the network of the rounds. "ngram": one table of n-grams, faster.
    "transformer": a small encoder, slower and nearer to the teacher. Both learn from the rows that the rounds
    asked about. "auto": of all three the cheapest that reaches the gate, or else the best on the validation
    rows. The other keys shape the rounds' TextCNN, whatever the kind; of them "ngram" takes `wide`,
    `vocabulary` and `read` for itself, too, and "transformer" only what stands in `student.transformer`.
    `table` and `finish_rows` change nothing of either."""
    embedding: int = Field(default=256, ge=1, le=1024)
    """Dimensions; they cost training time, and nothing at scoring."""
    filters: int = Field(default=128, ge=1, le=1024)
    """Filters of each width."""
    widths: tuple[Annotated[int, Field(ge=1, le=16)], ...] = Field(default=(1, 2, 3), strict=False)
    """How many neighbouring tokens a filter sees at once."""
    wide: int = Field(default=1 << 17, ge=0, le=1 << 22)
    """Buckets of the wide part, a linear model of tokens and pairs of them; 0: none, else a power of two. Of
    "ngram" its whole table, 131,072 where this is 0."""
    subclasses: int = Field(default=32, ge=0, le=256)
    """At most so many of the teacher's labels, near ones taken together, are told apart within the classes;
    0: the classes alone. They cost scoring time, and help where the teacher has more labels than classes."""
    vocabulary: int = Field(default=8000, ge=1, le=200_000)
    """Tokens known by name."""
    table: Literal["int16", "int8", "auto"] = "int16"
    """What the TextCNN's numbers are rounded to. int8 takes half the memory; "auto" takes it where 99.9 % of
    the validation rows are decided as by int16. A family's members have one table, of int16."""
    epochs: int = Field(default=8, ge=1, le=100)
    """Passes over the training rows of a round."""
    finish_rows: int = Field(default=0, ge=0)
    """After the rounds one more training, on the rows asked about and so many others of the pool at most, of
    which the student's own answers are learned; 0: none. It asks the teacher nothing and takes as long as a
    round of all these rows; what it made is kept where the validation rows do not speak against it."""
    trunk: Literal["family", "own"] = "family"
    """Where a task of the family has a promoted student: a head on its trunk, or a network of one's own."""
    read: Literal["teacher", "all"] = "teacher"
    """How far the student reads a text: about as far as the teacher (`teacher.max_length`), or all of it."""
    transformer: TransformerSection = TransformerSection()
    """Of the kind "transformer"."""

    @model_validator(mode="after")
    def _shape(self) -> Self:
        try:
            self.architecture()
        except InputError as error:
            raise ValueError(str(error).removeprefix("student: ")) from error  # the key is named besides
        return self

    def architecture(self) -> Architecture:
        """The same for the network."""
        return Architecture(
            embedding=self.embedding, filters=self.filters, widths=self.widths, wide=self.wide
        )


class GateSection(_Section):
    """What a student must reach against the teacher, on the holdout, before it may replace the teacher."""

    precision: Share = 0.90
    """For more than two classes: the mean over the classes."""
    recall: Share = 0.90
    """For more than two classes: the mean over the classes."""
    holdout_days: float = Field(default=7.0, gt=0.0)
    """The newest days, held out; where the corpus has a time column. They should hold some hundred rows of
    the rarer class."""
    holdout_fraction: float = Field(default=0.1, gt=0.0, lt=0.9)
    """The last part of the rows, held out; where it has none."""
    holdout_rows: int = Field(default=5000, ge=10)
    """At most so many rows of the holdout, drawn at random, are scored by the teacher; fewer where the fifth
    of `teacher.budget` that measures has no room for them."""
    half_life_days: float = Field(default=240.0, ge=0.0)
    """A validation row of so many days before the newest counts half as much in choosing thresholds, one of
    twice as many a quarter; 0: all days alike. Where the corpus has no times, all do."""
    labels: FilePath | None = None
    """File as teacher.labels: true labels. Held-out texts that have one measure student and teacher; so do
    texts outside the corpus, as a test set of their own."""
    unmeasured: Literal["refuse", "allow"] = "refuse"
    """What becomes of a version where the holdout has no rows of a class, of which nothing is known so."""
    rounds: int = Field(default=5, ge=1, le=50)
    """The loop ends after so many rounds at the latest."""


class CascadeSection(_Section):
    """The student answers where it is sure; where it is not, a second one is asked."""

    agreement: float = Field(default=0.97, gt=0.5, lt=1.0)
    """Share of the rows that student and teacher together decide as the teacher alone would."""
    second: Literal["teacher", "transformer"] = "teacher"
    """Who answers where the student is not sure: the teacher, or a transformer student of the same run, as
    `student.transformer` shapes it, which needs no teacher where it answers."""
    confidence: float = Field(default=0.95, ge=0.5, lt=1.0)
    """How sure the agreement is: that of the lower bound on the validation rows that must reach it."""
    most_teacher_share: Share = 0.5
    """Where the second had to answer more of the rows, there is no cascade: the student answers alone, and
    the report says so."""
    on_no_teacher: Literal["fail", "student"] = "fail"
    """What becomes of a job for whose rows no teacher can be had: it fails and says why, or the student
    answers those rows, too, which the results mark as unsure. Of `second = "teacher"` alone."""

    @model_validator(mode="after")
    def _of_the_second(self) -> Self:
        if self.second != "teacher" and "on_no_teacher" in self.model_fields_set:
            raise ValueError(
                f'on_no_teacher is of second = "teacher"; with "{self.second}" nobody asks one: leave it out'
            )
        return self


class OperatingPointSection(_Section):
    """Named operating points: the best F1, or the best under one condition (in tasks of two classes)."""

    precision: Share | None = None
    """The highest recall at this precision."""
    recall: Share | None = None
    """The highest precision at this recall."""

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        if self.precision is not None and self.recall is not None:
            raise ValueError("an operating point names a precision or a recall, not both")
        return self


class RetrainSection(_Section):
    """Nightly retraining."""

    at: Annotated[datetime.time, Field(strict=False), AfterValidator(_local)]
    """Local time of the scheduler."""
    joint: Weekday | None = None
    """The day of the week on which this task's night is that of its whole family, trunk included. One task of
    a family has it."""


class DriftSection(_Section):
    """Watching, day by day, whether the promoted student still agrees with its teacher."""

    sample: int = Field(default=50, ge=0, le=10_000)
    """Rows of each job that the retraining worker asks the teacher about afterwards; 0: none."""
    daily: int = Field(default=2000, ge=1)
    """Once so many were asked about in a day, further jobs of the day are left out."""
    on_alarm: Literal["nothing", "rollback", "retrain"] = "nothing"
    """What happens by itself when the agreement has fallen clearly."""
    callback: str | None = Field(default=None, pattern="^https?://.", max_length=2048)
    """Where an alarm is posted to, signed as a job's callback is."""


class Definition(_Section):
    """One question asked of every text."""

    classes: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=2, strict=False)
    """For two classes the second is the positive one."""
    priority: int = Field(default=5, ge=0, le=9)
    """0 runs first, 9 last."""
    depends_on: tuple[Dependency, ...] = Field(default=(), strict=False)
    """The question is asked only of texts for which all of these hold."""
    family: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")] | None = None
    """Tasks of one family over one corpus get students that read one network: `pingti replace --family`."""
    corpus: CorpusSection
    rules: RulesSection = RulesSection()
    teacher: TeacherSection
    student: StudentSection = StudentSection()
    gate: GateSection = GateSection()
    cascade: CascadeSection | None = None
    scenes: dict[str, OperatingPointSection] = {}
    retrain: RetrainSection | None = None
    watch: DriftSection = DriftSection()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults: list[tuple[str, tuple[str | int, ...]]] = []
        if len(set(self.classes)) != len(self.classes):
            faults.append((f"{list(self.classes)} names a class twice", ("classes",)))
        allowed = list(self.classes)
        faults += [
            (f"{name!r} is no class; allowed are {allowed}", ("teacher", "map"))
            for name in sorted(set(self.teacher.map.values()) - set(self.classes))
        ]
        for name, point in self.scenes.items():
            if not NAME.fullmatch(name):
                faults.append(
                    (f"{name!r} is no name; allowed are a-z, 0-9 and _, a letter first", ("scenes",))
                )
            if not self.binary and (point.precision is not None or point.recall is not None):
                faults.append(("a precision or recall needs a task of two classes", ("scenes", name)))
        if faults:
            raise errors_at(faults)
        return self

    @model_validator(mode="after")
    def _read_as_one_question(self) -> Self:
        faults: list[tuple[str, tuple[str | int, ...]]] = []
        cascade = self.cascade
        if cascade is not None and cascade.second == self.student.kind:
            detail = f'student.kind is "{cascade.second}", too, and both would say the same; take "teacher"'
            faults.append((detail, ("cascade", "second")))
        if self.teacher.threshold is not None and not self.binary:
            faults.append(("a threshold needs a task of two classes", ("teacher", "threshold")))
        if self.teacher.label is not None and self.teacher.tuned:
            detail = (
                "a model that is fine-tuned on teacher.labels has the task's classes and no other label; "
            )
            faults.append((f"{detail}leave this out, or set teacher.fine_tune = false", ("teacher", "label")))
        if faults:
            raise errors_at(faults)
        return self

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return len(self.classes) == 2

    @property
    def paths(self) -> dict[tuple[str | int, ...], str]:
        """All that may lead to files, by its place: patterns, URLs, paths, or the hub's name of a model."""
        model = self.teacher.model or None
        paths: dict[tuple[str | int, ...], str | None] = {
            **{("corpus", "files", number): path for number, path in enumerate(self.corpus.files)},
            ("teacher", "model"): None if self.teacher.model.startswith(("task:", "python:")) else model,
            **{("teacher", "answers", number): path for number, path in enumerate(self.teacher.answers)},
            ("teacher", "vectors"): self.teacher.vectors,
            ("teacher", "labels"): self.teacher.labels,
            ("gate", "labels"): self.gate.labels,
            ("student", "transformer", "checkpoint"): self.student.transformer.checkpoint,
        }
        return {place: path for place, path in paths.items() if path is not None}

    @property
    def operating_points(self) -> dict[str, OperatingPointSection]:
        """Those of ``scenes`` with the default one, which every task has."""
        return {"default": OperatingPointSection(), **self.scenes}


def parse(text: str, source: str | Path = "definition") -> Definition:
    """Read a definition from TOML.

    Raises:
        DefinitionError: one sentence with the source, the key, what was wrong and what is allowed; each
            fault with its pointer.
    """
    try:
        text.encode()  # a string from JSON may hold half of a surrogate pair
        # Editors on Windows begin a file with a byte order mark.
        return Definition.model_validate(tomllib.loads(text.removeprefix("\ufeff")))
    except UnicodeEncodeError as error:
        raise _unreadable(source, f"not UTF-8 (character {error.start})") from error
    except ValidationError as error:
        faults = faults_of(error.errors(include_url=False), Definition, show_values=True)
        placed = [dataclasses.replace(fault, file=_file(source)) for fault in faults]
        raise DefinitionError(f"{source}: {sentence(faults)}", faults=placed) from error
    except (ValueError, RecursionError) as error:  # of TOML, or Python's own of a number of 5,000 digits
        reason = str(error).partition(";")[0] or "nested too deeply"
        raise _unreadable(source, f"not valid TOML: {reason}") from error


def load(path: Path) -> Definition:
    """Read a definition file.

    Raises:
        DefinitionError: as in ``parse``; or the file cannot be read.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), path)
    except OSError as error:
        raise _unreadable(path, f"not readable: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"not UTF-8 (byte {error.start})") from error


def _unreadable(source: str | Path, detail: str) -> DefinitionError:
    return DefinitionError(f"{source}: {detail}", faults=[Fault(detail=detail, file=_file(source))])


def _file(source: str | Path) -> str | None:
    return str(source) if isinstance(source, Path) else None
