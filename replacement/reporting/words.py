"""What the report's page says, in its language. A sentence's English is its key; values stand in braces."""

from collections.abc import Mapping

from markupsafe import Markup

_CHINESE = {
    "{task}, version {version}": "{task}，第 {version} 版",
    "Made {made}.": "生成于 {made}。",
    "the gate is reached": "已达到门槛",
    "refused: {headline}": "被拒绝：{headline}",
    "; the loop ended because {reason}, and round {round} was kept.": "；循环结束的原因：{reason}；保留了第 {round} 轮。",
    "; the loop ended because {reason}, and a student of the kind {kind} was kept, which learned from the rows of all rounds.": (
        "；循环结束的原因：{reason}；保留了 {kind} 类的学生模型，它用各轮的全部行学习。"
    ),
    "{low} to {high}": "{low} 至 {high}",
    "{rows} of {all}": "{all} 中的 {rows}",
    "{rows} rows": "{rows} 行",
    "95 % interval": "95% 区间",
    "95 % intervals:": "95% 区间：",
    "Against the teacher, on the held-out rows": "在留出行上与教师模型对照",
    "precision": "精确率",
    "recall": "召回率",
    "F1": "F1",
    "f1": "F1",
    "threshold": "阈值",
    "accuracy": "一致率",
    "rows": "行数",
    "positives": "正例",
    "student": "学生模型",
    "teacher": "教师模型",
    "incumbent": "在用版本",
    "gate": "门槛",
    "version {version}, promoted now": "第 {version} 版（现已发布）",
    "linear n-gram model": "线性 n-gram 模型",
    "{who}, against true labels": "{who}，以人工标注为准",
    "{who}, against true labels of texts outside the corpus": "{who}，以语料之外文本的人工标注为准",
    "Kinds of students, on the same rows": "不同种类的学生模型，同样的行",
    "µs": "微秒",
    "MB": "兆字节",
    "Kept is {kind}. µs: microseconds a text on one core; MB: its numbers in memory; teacher: share of the rows left to it.": (
        "保留的是 {kind}。微秒：单核每条文本用时；兆字节：数值占用的内存；教师模型：留给它的行所占比例。"
    ),
    "microseconds a text, on one core": "单核每条文本的微秒数",
    "F1 (upwards) over the cost of a text": "F1（向上）与每条文本的成本",
    "The teacher itself, against people's labels": "教师模型自身，以人工标注为准",
    "On {rows} {what}.": "依据 {rows} {what}。",
    "A trivial model is better than this teacher.": "一个极简单的模型都比这位教师好。",
    "share decided right": "判断正确的比例",
    "frozen encoder with a linear head": "冻结编码器加线性层",
    "Rounds": "各轮",
    "round": "轮",
    "teacher rows asked": "询问教师的行数",
    "added": "新增",
    "What the chosen rows turned out to be": "所选的行究竟如何",
    "kind": "种类",
    "the student was wrong": "学生判断有误",
    "teacher's mean margin": "教师的平均差距",
    "random": "随机",
    "uncertain": "拿不准",
    "hard negatives": "难负例",
    "diverse": "多样",
    "neighbours": "近邻",
    "new": "新行",
    "Teacher rows by day and round": "按日期与轮次的教师行",
    "Of the rows learned from; a later round is lighter.": "指用于学习的行；越晚的轮次颜色越浅。",
    "teacher rows by day; a later round is lighter": "按日期的教师行；越晚的轮次颜色越浅",
    "{first} to {last}, round {round}: {rows} rows": "{first} 至 {last}，第 {round} 轮：{rows} 行",
    "precision, recall and F1 by round": "各轮的精确率、召回率与 F1",
    "Operating points": "工作点",
    "operating point": "工作点",
    "on the validation rows": "在验证行上",
    "On the validation rows, each counted as one over its chance to be drawn:": "在验证行上，每行按被抽中概率的倒数计：",
    "by day": "按日",
    "days": "日期",
    "day": "日期",
    "threshold by these alone": "仅由这些行选出的阈值",
    "(the worst)": "（最差）",
    "all": "全部",
    "Student and teacher together": "学生与教师配合",
    "student and teacher": "学生与教师",
    "Student and transformer together": "学生与 Transformer 学生配合",
    "student and transformer": "学生与 Transformer 学生",
    "Where the student is not sure the transformer answers, and no teacher is asked: {share} of the held-out rows; "
    "{agreement} of all are then decided as the teacher decides. Wanted was {wanted}; days to come have {least} or more, "
    "at a confidence of {confidence}.": "学生拿不准之处由 Transformer 学生作答，不询问教师：占留出行的 {share}，此时全部留出行中有 "
    "{agreement} 与教师判断一致。要求为 {wanted}；在置信度 {confidence} 下，今后的日子不低于 {least}。",
    "With the transformer for {share} of the rows, days to come have an agreement of {least} or more, and {wanted} was "
    "wanted: there is no cascade, and the student answers alone.": "由 Transformer 学生回答 {share} 的行时，今后的日子一致率不低于 "
    "{least}，而要求为 {wanted}：不使用级联，由学生单独作答。",
    "agreement (upwards) over the transformer's share": "一致率（向上）与 Transformer 学生作答的比例",
    "share of the rows that the transformer answers": "Transformer 学生作答的行所占比例",
    "Where the student is not sure the teacher is asked: about {share} of the held-out rows; {agreement} of all are "
    "then decided as the teacher decides. Wanted was {wanted}; days to come have {least} or more, at a confidence of "
    "{confidence}.": "学生拿不准之处询问教师：占留出行的 {share}，此时全部留出行中有 {agreement} 与教师判断一致。要求为 {wanted}；"
    "在置信度 {confidence} 下，今后的日子不低于 {least}。",
    "Together they reach the gate, which the student alone does not.": "两者配合达到门槛，学生单独则达不到。",
    "For an agreement of {wanted} the teacher would be asked about {share} of the rows, more than "
    "cascade.most_teacher_share allows: there is no cascade, and the student answers alone.": "要达到 {wanted} 的一致率，"
    "需就 {share} 的行询问教师，超过 cascade.most_teacher_share 的上限：不使用级联，由学生单独作答。",
    "A million texts take both together {seconds} seconds of one core.": "每一百万条文本，两者共需单核 {seconds} 秒。",
    "agreement (upwards) over the teacher's share": "一致率（向上）与询问教师的比例",
    "share of the rows that the teacher is asked about": "询问教师的行所占比例",
    "Precision and recall, the operating points marked": "精确率与召回率，标出各工作点",
    "precision (upwards) over recall, on the held-out rows": "留出行上的精确率（向上）与召回率",
    "Precision and recall of each class against the others": "每个类别相对其余类别的精确率与召回率",
    "{shown} of {all} classes, the lowest F1 first; recall to the right, precision upwards, the student as it decides "
    "marked.": "{all} 个类别中的 {shown} 个，F1 最低的在前；召回率向右，精确率向上，标出学生实际判断的位置。",
    "Day by day": "逐日",
    "The worst day is {day}.": "最差的一天是 {day}。",
    "Calibration": "校准",
    "mean score": "平均分数",
    "share that the teacher confirms": "教师认可的比例",
    "Where it is missed most: clusters of the held-out rows": "遗漏最多之处：留出行的聚类",
    "Where it is called wrongly most: clusters of the held-out rows": "误报最多之处：留出行的聚类",
    "texts like": "这类文本",
    "as the teacher: round 1": "与教师一致：第 1 轮",
    "now": "现在",
    "missed": "遗漏",
    "false": "误报",
    "Classes": "类别",
    "class": "类别",
    "Classes that it mistakes": "容易混淆的类别",
    "teacher's for its own": "教师的判断与学生的判断",
    "{teacher} for {student}": "把 {teacher} 判为 {student}",
    "share": "比例",
    "Clearest disagreements on the holdout": "留出行上最明显的分歧",
    "text": "文本",
    "Learned worst: rows of the highest loss": "学得最差的行：损失最高",
    "The student cannot learn them, or the teacher has them wrong.": "学生学不会它们，或者教师判断有误。",
    "loss": "损失",
    "Corpus and teacher": "语料与教师模型",
    "in teacher.labels, before the holdout": "有 teacher.labels 标注，早于留出期",
    "in teacher.labels, of the holdout's days": "有 teacher.labels 标注，在留出期内",
    "read": "读入",
    "pool": "候选",
    "holdout": "留出",
    "duplicates": "重复",
    "bad": "坏行",
    "not asked": "未询问",
    "dropped": "被规则丢弃",
    "negative by rule": "被规则判为负例",
    "labelled by people": "人工标注",
    "labelled": "已标注",
    "The teacher was asked about {asked} rows, of which {computed} were computed in this run and the others were "
    "cached.": "共询问教师 {asked} 行，其中 {computed} 行在本次运行中计算，其余来自缓存。",
    "{rows} boundary rows wait for a person in review.jsonl.": "review.jsonl 中有 {rows} 个边界行等待人工标注。",
    "Of its outputs, each answered by itself, the one of {label} was read.": "它的各个输出相互独立，读取的是 {label}。",
    "A text is of the class of the teacher's likeliest label.": "文本归入教师最可能的标签所属的类别。",
    "A text is of the class whose labels' probabilities have the largest sum.": "文本归入标签概率之和最大的类别。",
    "{name} is decided from a probability of {threshold} on.": "概率达到 {threshold} 即判为 {name}。",
    "The student tells labels of the teacher apart within a class.": "学生在同一类别内区分教师的不同标签。",
    "On one core of the machine that made it the student scores {student} texts a second and the teacher {teacher}: "
    "{times} times as many.": "在训练它的机器上，单核每秒：学生 {student} 条文本，教师 {teacher} 条，前者是后者的 {times} 倍。",
}


class Words:
    """Sentences in one language. What is not known, such as the name of a count, stays as it is."""

    def __init__(self, sentences: Mapping[str, str]) -> None:
        """``sentences``: by the English."""
        self.sentences = sentences

    def __call__(self, sentence: str, **values: object) -> str:
        """A sentence in the page's language; values are escaped, and so is a sentence that has none.

        Args:
            sentence: the English, with names in braces where values go.
            values: by those names.
        """
        shown = self.sentences.get(sentence, sentence)
        return Markup(shown).format(**values) if values else shown


ENGLISH = Words({})
CHINESE = Words(_CHINESE)
