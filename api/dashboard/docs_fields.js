// What the fields and parameters on the API's page are, in Chinese, by the English of the OpenAPI document. docs.js looks
// here; what is missing stays English, and a test names it.

export const FIELDS = {
  "1 to 1,000 texts; null is no text, and has null for a label and a score.":
    "1 到 1,000 条文本；null 表示没有文本，其类别和分数也是 null。",
  "Label tasks: \"task\", or \"task@scene\" for one of its operating points; each may end in \"#version\", else it is the student in use now.":
    "标注任务：写作 task，要某个工作点则写 task@scene；后面可加 #version，不加就用现在的学生模型。",
  "The students that answered.":
    "作答的学生模型。",
  "For each text: task to decision.":
    "每条文本：任务对应的判断。",
  "Check everything, store nothing.":
    "只检查，不保存。",
  "Any text of your own; sent again with the same body it gives the same job again. The same file, uploaded again, counts as the same input.":
    "由您自定的任意文本；连同相同的请求体再次发送，得到的是同一个批次。同一文件再次上传，算作相同的输入。",
  "Files (.parquet, .jsonl, .csv, .tsv; the last three also .gz) below the allowed folders; a relative path counts from the workspace. A folder stands for the files in it and in its folders, a pattern (*, ?, [a-z], **) for what it matches: 1,000 files in all, in order of their names. The same in object stores, below allowed addresses: 10,000 objects.":
    "允许的文件夹之下的文件（.parquet、.jsonl、.csv、.tsv，后三种也可为 .gz）；相对路径从工作区算起。文件夹代表其中（包括各级子文件夹）的文件，通配（*、?、[a-z]、**）代表所匹配的文件：一共至多 1,000 个，按名称排列。对象存储中也一样，限于允许的地址之下：至多 10,000 个对象。",
  "0 runs first; absent: the most urgent of the tasks' own.":
    "0 最先运行；不写则取各任务自己的优先级中最急的。",
  "Your own notes.":
    "您自己的备注。",
  "Column of the texts.":
    "文本列。",
  "Column of the ids; absent: the row's number.":
    "编号列；不写则用行号。",
  "Further columns that go along into the results, in their types: text, numbers, booleans, dates, times. Of a partitioned table also those of its folders' names.":
    "随结果带出的其他列，保持其类型：文本、数字、布尔、日期、时间。分区表也可带出文件夹名中的列。",
  "CSV, TSV: what separates fields; absent: by the file's name and header.":
    "CSV、TSV：字段之间的分隔符；不写则由文件名和表头判断。",
  "CSV, TSV: whether fields stand in quotes. auto: in CSV they do.":
    "CSV、TSV：字段是否带引号。auto：CSV 带。",
  "CSV, TSV: what stands before a quote in quotes; absent: it is doubled.":
    "CSV、TSV：引号之内的引号前面的字符；不写则引号要重复一次。",
  "Of text files, such as \"gb18030\"; absent: UTF-8.":
    "文本文件的编码，例如 gb18030；不写则为 UTF-8。",
  "Address of a folder of an object store, below an allowed one, that gets the results as Parquet parts, with _SUCCESS last; absent: they are kept by the service alone.":
    "对象存储中的文件夹地址，须在允许的地址之下；结果以 Parquet 分片写入，最后写 _SUCCESS。不写则只由服务保存。",
  "Address that is told of the job's end.":
    "批次结束时要通知的地址。",
  "Bad rows that are allowed (100), or their share of all rows (0.05); with more the job fails. Absent: any but all of them.":
    "允许的坏行数（100），或占全部行的比例（0.05）；超过则批次失败。不写：只要不是全部。",
  "queued, running, finalizing, completed, failed, cancelling or cancelled.":
    "queued（排队中）、running（运行中）、finalizing（收尾中）、completed（已完成）、failed（失败）、cancelling（取消中）或 cancelled（已取消）。",
  "Files, in the order of the results' rows.":
    "文件，按结果各行的顺序。",
  "Tasks with the operating point, version and threshold in use.":
    "任务，及其使用的工作点、版本和阈值。",
  "0 runs first, 9 last.":
    "0 最先运行，9 最后。",
  "The caller's own pairs.":
    "调用者自己的名称与值。",
  "When each status was reached, by the broker's clock.":
    "到达各状态的时间，以消息服务的时钟为准。",
  "Rows of a job. When it is completed, total = completed + failed.":
    "批次的行数。完成时 total = completed + failed。",
  "The pieces into which a job's rows are cut.":
    "批次的行切成的分片。",
  "Share of the rows that are done, 0 to 1; null while unknown.":
    "已处理的行所占比例，0 到 1；未知时为 null。",
  "Mean rate since the job began to run; null before that.":
    "批次开始运行以来的平均速率；之前为 null。",
  "At the mean rate so far; null unless the job runs and its rows are counted.":
    "按到目前为止的平均速率；除非批次在运行且行数已知，否则为 null。",
  "Jobs that get a worker before this one gets its next; null in lists, and where none of its shards waits.":
    "在此批次下一次得到工作进程之前，先得到的批次数；在列表中，以及没有分片在等待时，为 null。",
  "The worker that has each shard under way, by the shard's number; plan and finalize stand for the job's begin and end. Empty in lists.":
    "正在处理各分片的工作进程，按分片号；plan 和 finalize 表示批次的开始和收尾。在列表中为空。",
  "What the job cannot go on without, and why: a worker that has the teacher, where none runs or all are at retrainings. Null in lists, and where nothing is missing.":
    "批次缺了就无法继续的东西，以及原因：例如没有运行带教师模型的工作进程，或者它们都在重新训练。在列表中，以及什么都不缺时，为 null。",
  "Of tasks with a cascade, rows so far by who decided them: student, teacher, transformer, or unsure (the student, without being sure).":
    "带级联的任务：到目前为止由谁判断的行数：student（学生）、teacher（教师）、transformer 或 unsure（学生，但没有把握）。",
  "Name of the key that submitted it.":
    "提交所用密钥的名称。",
  "Null in lists, and where none was asked for.":
    "在列表中，以及没有要求时，为 null。",
  "Why the job failed.":
    "批次失败的原因。",
  "Bad rows that are allowed, or their share; null: any but all.":
    "允许的坏行数，或其比例；null：只要不是全部。",
  "Address of a store's folder that gets the results, too.":
    "另外存放一份结果的对象存储文件夹地址。",
  "Paths on this server.":
    "本服务器上的路径。",
  "Real paths of the inputs.":
    "输入的真实路径。",
  "Size of all inputs.":
    "全部输入的大小。",
  "Tasks with the version and threshold in use now.":
    "任务，及其现在使用的版本和阈值。",
  "next_cursor of the page before.":
    "上一页的 next_cursor。",
  "Jobs a page.":
    "每页的批次数。",
  "Only jobs with this status.":
    "只列此状态的批次。",
  "Only jobs that ask this task.":
    "只列用到此任务的批次。",
  "Only jobs of the key of this name.":
    "只列由此名称的密钥提交的批次。",
  "Only jobs of this priority.":
    "只列此优先级的批次。",
  "Only jobs from then on.":
    "只列此时及以后的批次。",
  "Only jobs from before then.":
    "只列此时以前的批次。",
  "Pass as ``cursor`` for the next page; null on the last one.":
    "作为 cursor 传入即得下一页；最后一页为 null。",
  "The id that the submission answered.":
    "提交时返回的编号。",
  "File format.":
    "文件格式。",
  "Parquet, JSONL, CSV or TSV; the last three also as .gz":
    "Parquet、JSONL、CSV 或 TSV；后三种也可为 .gz",
  "Use this as an input of a job.":
    "用作批次的输入。",
  "The file's name as stored (unsafe characters became _).":
    "保存的文件名（不安全的字符已换成 _）。",
  "Where it is on the server; a job takes this too.":
    "在服务器上的位置；批次也接受它。",
  "Size.":
    "大小。",
  "Hexadecimal SHA-256 of the stored bytes.":
    "所存字节的 SHA-256，十六进制。",
  "When the upload ended.":
    "上传结束的时间。",
  "Name of the key that sent it.":
    "上传所用密钥的名称。",
  "Files a page.":
    "每页的文件数。",
  "The id that the upload answered.":
    "上传时返回的编号。",
  "An input of a job: an uploaded file's id, a path, a folder or a pattern.":
    "批次的一个输入：上传文件的编号、路径、文件夹或通配。",
  "The path of the file that was looked at: the first of a folder's.":
    "所看文件的路径；若是文件夹，则为其中第一个。",
  "In the file's order; of JSONL, the first object's fields.":
    "按文件中的顺序；JSONL 则为第一个对象的字段。",
  "Name of a label task.":
    "标注任务的名称。",
  "With two, the second is the positive one.":
    "若为两类，第二个是正例。",
  "Default priority of the task's jobs; 0 runs first, 9 last.":
    "此任务的批次的默认优先级；0 最先，9 最后。",
  "Named operating points; ask for one as task@scene.":
    "有名称的工作点；以 task@scene 指定。",
  "Students that exist, oldest first.":
    "现有的学生模型，最早的在前。",
  "The promoted version; null where none is.":
    "已发布的版本；没有时为 null。",
  "The current version's figures on its holdout.":
    "当前版本在其留出行上的指标。",
  "Whether the current version reached the gate.":
    "当前版本是否达到门槛。",
  "Whether the current version has a report as a page.":
    "当前版本是否有网页报告。",
  "Hour of the nightly retraining, HH:MM; null: never by itself.":
    "夜间重训的时刻，HH:MM；null：从不自动重训。",
  "What is damaged: the definition, the student or its report.":
    "损坏的是什么：定义、学生模型或其报告。",
  "A student's version, from 1.":
    "学生模型的版本，从 1 起。",
  "Of the page; students of before have it in English alone.":
    "网页的语言；较早的学生模型只有英文。",
  "The version that a roll-back leads to: the one promoted before the present one; null where there is none.":
    "回退会到的版本：当前版本之前发布的那一版；没有时为 null。",
  "See the operation.":
    "见此操作的说明。",
  "Kept in the history.":
    "记入历史。",
  "Even if it fell short of its gate.":
    "即使没有达到门槛。",
  "The file.":
    "文件内容。",
  "What it says, with all defaults.":
    "它的内容，含全部默认值。",
  "Where the past texts are.":
    "历史文本在哪里。",
  "Regular expressions (RE2), the same at training and at scoring.":
    "正则表达式（RE2），训练和打标时相同。",
  "The BERT that the student replaces; or answers on file, an endpoint, or a function of Python.":
    "学生要取代的 BERT；也可以是存在文件里的回答、一个接口，或一个 Python 函数。",
  "The student's kind and shape. The defaults did best on Chinese and English short texts.":
    "学生的种类和大小。默认值在中文和英文短文本上效果最好。",
  "What a student must reach against the teacher, on the holdout, before it may replace the teacher.":
    "学生要取代教师，须在留出行上与教师相比达到的指标。",
  "Watching, day by day, whether the promoted student still agrees with its teacher.":
    "逐日查看已发布的学生是否仍与教师一致。",
  "Rows a page.":
    "每页的行数。",
  "Pass as ``cursor`` for the next page; null on the last one. Rows that get a label meanwhile move the others up.":
    "作为 cursor 传入即得下一页；最后一页为 null。其间得到标注的行会使后面的行前移。",
  "Rows without a label.":
    "还没有标注的行数。",
  "Texts whose label is new or another now.":
    "标注为新增或有改变的文本数。",
  "Texts that had this label.":
    "本来就有此标注的文本数。",
  "Labels that could not be used, a sentence each.":
    "不能使用的标注，每个一句话。",
  "The scheduled date; null: on demand.":
    "计划的日期；null：应要求而做。",
  "Who asked for it; the scheduler, for a night.":
    "谁要求的；夜间重训为调度进程。",
  "queued, running, promoted, refused, failed, cancelled or missed.":
    "queued（排队中）、running（运行中）、promoted（已发布）、refused（被拒绝）、failed（失败）、cancelled（已取消）或 missed（错过）。",
  "When a worker first took it.":
    "工作进程第一次接手的时间。",
  "How often a worker took it; more than 1 after a crash.":
    "工作进程接手的次数；崩溃之后多于 1。",
  "The candidate's, once there is one.":
    "候选版本，一旦有了的话。",
  "Why it ended so, or why it was given back.":
    "如此结束的原因，或交还的原因。",
  "The id of a retraining, without the task.":
    "重训的编号，不带任务名。",
  "By day and version, newest first.":
    "按日期和版本，最新的在前。",
  "Newest first.":
    "最新的在前。",
  "read, submit or admin.":
    "read（查看）、submit（提交）或 admin（管理）。",
  "Pingti's version.":
    "Pingti 的版本。",
  "ok, or what is wrong.":
    "ok，或错在哪里。",
};
