"""The sentences that the code writes into a report, in Chinese; what is not known here stays as it is."""

import re

_SHARES = {"precision": "精确率", "recall": "召回率", "F1": "F1"}
_SENTENCES = (
    # What a run notes.
    (
        r"operating point (\S+): newer validation rows count more \(gate\.half_life_days = ([\d.]+)\), which makes "
        r"([\d,]+) rows worth ([\d,]+): threshold ([\d.]+), precision ([\d.]+), recall ([\d.]+), F1 ([\d.]+) on the "
        r"holdout; all days alike would have chosen ([\d.]+), precision ([\d.]+), recall ([\d.]+), F1 ([\d.]+)",
        r"工作点 \1：较新的验证行权重更大（gate.half_life_days = \2），\3 行相当于 \4 行：阈值 \5，在留出行上精确率 \6、召回率 \7、F1 \8；"
        r"若各天权重相同，阈值为 \9，精确率 \10、召回率 \11、F1 \12",
    ),
    (
        r"the holdout has only (\d+) rows of the class (.+?), of ([\d,]+): a recall of ([\d.]+) is known to some "
        r"([\d.]+) either way, so that chance has a part in the verdict; ",
        r"留出集 \3 行中，类别 \2 只有 \1 行：召回率 \4 的误差约为 ±\5，结论带有偶然性；",
    ),
    (
        r"(teacher\.budget = [\d_]+) \(([\d,]+) now\) lets more of the ([\d,]+) held-out rows measure, some (\d+) of "
        r"that class",
        r"\1（现为 \2）可让 \3 条留出行中的更多行参与评估，其中该类别约 \4 行",
    ),
    (
        r"more of the ([\d,]+) held-out rows measure with a larger gate\.holdout_rows \(([\d,]+) now\) and "
        r"teacher\.budget \(([\d,]+) now\)",
        r"增大 gate.holdout_rows（现为 \2）和 teacher.budget（现为 \3），\1 条留出行中会有更多行参与评估",
    ),
    (
        r"(gate\.holdout_days|gate\.holdout_fraction) = ([\d.]+) would hold some (\d+) of them",
        r"\1 = \2 约可留出 \3 行",
    ),
    (r"only more texts can give (\d+) of them", r"要有 \1 行，只能增加文本"),
    # What a refused student lacks.
    (r"(precision|recall) ([\d.]+) is below ([\d.]+)", r"<\1> \2 低于 \3"),
    (
        r"the holdout has no rows of the class(?:es)? (.+?) and (\d+) more",
        r"留出行中没有 \1 及另外 \2 个类别的行",
    ),
    (
        r"the holdout has no rows of the class(?:es)? ([^;]+?)(?= and (?:<|F1 is|the operating point)|;|$)",
        r"留出行中没有类别 \1 的行",
    ),
    (
        r"nothing is known of a class without rows: gate\.holdout_days, or gate\.holdout_fraction, makes the "
        r'holdout longer; gate\.unmeasured = "allow" does without',
        '没有行的类别无从评估：gate.holdout_days 或 gate.holdout_fraction 可延长留出期；gate.unmeasured = "allow" 则不要求',
    ),
    (r"the operating point default cannot be had: ", "无法得到工作点 default："),
    (
        r"F1 is ([\d.]+) below that of the promoted version (\d+) \(95 % interval (-?[\d.]+) to (-?[\d.]+)\)",
        r"F1 比已发布的第 \2 版低 \1（95% 区间 \3 至 \4）",
    ),
    # How sure that is, and what would help.
    (
        r"of holdouts drawn again ([\d.]+%) give the same verdict \(95 % intervals: precision ([\d.]+) to ([\d.]+), "
        r"recall ([\d.]+) to ([\d.]+)\)",
        r"重新抽取的留出集有 \1 得出同样的结论（95% 区间：精确率 \2 至 \3，召回率 \4 至 \5）",
    ),
    (
        r"student and teacher together reach precision ([\d.]+) and recall ([\d.]+); a cascade\.agreement above "
        r"([\d.]+) leaves more rows to the teacher",
        r"学生与教师合起来精确率为 \1、召回率为 \2；cascade.agreement 高于 \3 时，会有更多行交给教师",
    ),
    (
        r"student and transformer together reach precision ([\d.]+) and recall ([\d.]+); a cascade\.agreement "
        r"above ([\d.]+) leaves more rows to the transformer",
        r"两个学生合起来精确率为 \1、召回率为 \2；cascade.agreement 高于 \3 时，会有更多行交给 transformer",
    ),
    (r"^what helps most is ", "最有帮助的是"),
    (r"^what helps, too, is ", "也有帮助的是"),
    (
        r"(teacher\.budget|gate\.rounds) = (\d+) in (tasks/\S+), then (pingti replace \S+)",
        r"在 \3 中写 \1 = \2，然后 \4",
    ),
    (
        r"(\[scenes\.NAME\] recall = [\d.]+) in (tasks/\S+), then (pingti replace [^\s,]+)",
        r"在 \2 中写 \1，然后 \3",
    ),
    (
        r"more of corpus\.files in (tasks/\S+), then (pingti replace \S+)",
        r"在 \1 的 corpus.files 中加入更多文件，然后 \2",
    ),
    (
        r"classes and teacher\.map in (tasks/\S+), then (pingti replace [^\s)]+)",
        r"在 \1 中改 classes 与 teacher.map，然后 \2",
    ),
    (
        r"another threshold: on the holdout ([\d.]+) reaches precision ([\d.]+) and recall ([\d.]+), where the "
        r"validation rows, ([\d,]+) of them positive, chose ([\d.]+); an operating point of its own has it "
        r"\((.+), and jobs ask for (\S+)\)",
        r"换一个阈值：在留出行上 \1 可达精确率 \2、召回率 \3，而验证行（其中 \4 条正例）选出的是 \5；可为它单设工作点（\6，批次中写 \7）",
    ),
    (
        r"a larger budget: each doubling of the rows learned from brought (-?[\d.]+) F1 on the validation rows, and "
        r"([\d.]+) is lacking; (.+) \(([\d,]+) now\)",
        r"更大的询问额度：学习行数每翻一倍，验证行上的 F1 提高 \1，还差 \2；\3（现为 \4）",
    ),
    (
        r"further rounds, which choose their rows by this one's errors: (.+) \(([\d,]+) now\)",
        r"更多轮次，按这一轮的错误选行：\1（现为 \2）",
    ),
    (r"more texts, for all were asked about: ", "更多文本，因为现有的都已询问过："),
    (
        r"other classes: ([\d.]+%) of the errors on the holdout lie between (.+) and (.+); one class of both \((.+)\) "
        r"would end them",
        r"调整类别：留出行上的错误有 \1 发生在 \2 与 \3 之间；合并这两类（\4）即可消除",
    ),
    (
        r"people's labels: of ([\d,]+) errors on the holdout ([\d,]+) are texts on which the teacher itself is unsure "
        r"\(its margin is below ([\d.]+)\), and without them at most ([\d.]+%) of what is lacking would be there; "
        r"(pingti review export \S+(?: --out \S+)?) gives such texts to people, and classes worded otherwise may tell "
        r"them apart",
        r"人工标注：留出行上的 \1 个错误中有 \2 个是教师自己拿不准的文本（差距低于 \3），没有这些错误，差额最多可补上 \4；\5 把这类文本交给人标注，"
        r"换一种类别说法也可能有助于区分",
    ),
    (  # as reports said it before
        r"people's labels: of ([\d,]+) errors on the holdout ([\d,]+) are texts on which the teacher itself is unsure "
        r"\(its margin is below ([\d.]+)\); (pingti review export \S+(?: --out \S+)?) gives such texts to people, and "
        r"classes worded otherwise may tell them apart",
        r"人工标注：留出行上的 \1 个错误中有 \2 个是教师自己拿不准的文本（差距低于 \3）；\4 把这类文本交给人标注，换一种类别说法也可能有助于区分",
    ),
    (
        r"more held-out rows: (\d+) of the class (.+?) leave the verdict to chance \(([\d.]+%) of holdouts drawn again "
        r"pass\); (.+); then (pingti replace \S+)",
        r"更多留出行：类别 \2 只有 \1 行，结论靠运气（重新抽取的留出集有 \3 通过）；\4；然后 \5",
    ),
    # Where it fails.
    (r"most often it mistakes ", "最常见的混淆："),
    (r'([^,：]+?) for ([^,]+?) \((\d+) of (\d+), like "(.*?)"\)', r"把 \1 判为 \2（\4 条中 \3 条，如“\5”）"),
    (r'"(.*?)" \((\d+) of (\d+) missed(?: as (.+?))?\)', r"“\1”（\3 条中遗漏 \2 条）"),
    (r'"(.*?)" \((\d+) of (\d+) called wrongly(?: as (.+?))?\)', r"“\1”（\3 条中误报 \2 条）"),
    (r"most are missed among texts like ", "遗漏最多的是这类文本："),
    (r"most are called wrongly among texts like ", "误报最多的是这类文本："),
    # Why no further round was run.
    (r"the gate is reached", "已达到门槛"),
    (r"the limit of (\d+) rounds? is reached", r"已达到 \1 轮的上限"),
    (r"(\d+) rounds in a row brought nothing", r"连续 \1 轮没有改进"),
    (r"the teacher's budget is spent", "教师模型的询问额度已用完"),
    (r"the pool is used up", "候选行已用完"),
    # What an operating point reaches.
    (r"F1 ([\d.]+) within the gate, the best of all being ([\d.]+)", r"在门槛内 F1 为 \1，全体最高为 \2"),
    (r"F1 ([\d.]+), the best being ([\d.]+)", r"F1 为 \1，最高为 \2"),
    (
        r"no threshold reaches (precision|recall) ([\d.]+); the nearest is ([\d.]+), with (precision|recall) "
        r"([\d.]+) at ([\d.]+)",
        r"没有阈值能使<\1>达到 \2；最接近的是 \3，此时<\4>为 \5（阈值 \6）",
    ),
    (r"(precision|recall) ([\d.]+) at (precision|recall) ([\d.]+)", r"<\3> \4 时<\1>为 \2"),
    # Which labels a teacher was held against, and what could not be measured.
    (r"labelled rows kept aside from fine-tuning", "行未用于微调的人工标注"),
    (r"rows of gate\.labels", "行 gate.labels 中的标注"),
    (
        r"rows of teacher\.labels, which the model may have been trained on",
        "行 teacher.labels 中的标注（教师模型可能用它们训练过）",
    ),
    (r"the teacher's speed was not measured: no model of it is here", "未测教师模型的速度：此处没有它的模型"),
    (r"stored answers are all there is: drift cannot be measured", "只有存储的回答，无法测量漂移"),
    (
        r"of int8; it decides as the same in float32 on ([\d.]+%) of ([\d,]+) validation rows",
        r"int8；在 \2 条验证行上有 \1 的判断与 float32 相同",
    ),
    (
        r"the teacher is no model of transformers, from whose layers a student could start; name one as "
        r"student\.transformer\.checkpoint",
        "教师不是 transformers 模型，没有可供学生起步的层；请用 student.transformer.checkpoint 指定一个模型",
    ),
    (
        r"it needs the package (\w+): install Pingti with its extra 'transformer' \((.+)\)",
        r"缺少软件包 \1：\2",
    ),
    (r"this Pingti does not train students of that kind", "此版本不训练这一种类的学生模型"),
)
_PATTERNS = tuple((re.compile(pattern), sentence) for pattern, sentence in _SENTENCES)
_BETWEEN = re.compile(r"(?<=[\d）行]) and (?=[精召F留无])")
"""Between two things that are lacking."""


def translated(sentence: str) -> str:
    """A sentence of a report in Chinese; what is not known, such as a name or a text, stays as it is.

    Args:
        sentence: in English, as the code writes it into a report.

    Examples:
        >>> translated("recall 0.861 is below 0.900")
        '召回率 0.861 低于 0.900'
        >>> translated("the limit of 5 rounds is reached")
        '已达到 5 轮的上限'
    """
    for pattern, chinese in _PATTERNS:
        sentence = pattern.sub(chinese, sentence)
    for name, chinese in _SHARES.items():
        sentence = sentence.replace(f"<{name}>", chinese)
    return _BETWEEN.sub("，且", sentence)
