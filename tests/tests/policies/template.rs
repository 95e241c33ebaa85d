//! A CloudFormation template with its parameters filled in. Supports the functions that the
//! templates in `infra/` use.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;

use crate::{path, text};

pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ACCOUNT: &str = "000000000000";

/// Returns the file names of all templates.
pub(crate) fn names() -> Vec<String> {
    let files = std::fs::read_dir(path("infra")).expect("the folder of templates").map(|file| file.expect("a file"));
    let names = files.map(|file| file.file_name().into_string().expect("a name in UTF-8"));
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".yaml")).collect();
    names.sort();
    names
}

/// A template.
pub(crate) struct Template {
    name: String,
    whole: Yaml,
    /// The value of each parameter, as `Ref` returns it.
    parameters: BTreeMap<String, Value>,
}

impl Template {
    /// Returns the template of this name in `infra/`, with these parameters. Other parameters have
    /// their defaults.
    pub(crate) fn read(name: &str, given: &[(&str, &str)]) -> Self {
        let whole: Yaml = serde_yaml_ng::from_str(&text(&format!("infra/{name}"))).expect("YAML");
        let mut parameters = BTreeMap::from([
            ("AWS::Region".to_owned(), REGION.into()),
            ("AWS::AccountId".to_owned(), ACCOUNT.into()),
            ("AWS::Partition".to_owned(), "aws".into()),
        ]);
        for (parameter, description) in whole["Parameters"].as_mapping().expect("parameters") {
            let parameter = parameter.as_str().expect("a name");
            let given = given.iter().find(|(name, _)| *name == parameter).map(|(_, value)| Value::from(*value));
            let default = || serde_json::to_value(&description["Default"]).expect("a plain value");
            parameters.insert(parameter.to_owned(), given.unwrap_or_else(default));
        }
        Self { name: name.to_owned(), whole, parameters }
    }

    /// Returns the names of its parameters.
    pub(crate) fn parameters(&self) -> Vec<String> {
        self.parameters.keys().filter(|name| !name.starts_with("AWS::")).cloned().collect()
    }

    /// Returns a field of a parameter, such as `MinValue`.
    pub(crate) fn parameter(&self, name: &str, field: &str) -> &Yaml {
        &self.whole["Parameters"][name][field]
    }

    /// Returns a field of a resource other than its properties, such as `DeletionPolicy`.
    pub(crate) fn resource_field(&self, resource: &str, field: &str) -> &str {
        self.whole["Resources"][resource][field].as_str().unwrap_or_default()
    }

    /// Returns the properties of a resource.
    pub(crate) fn properties(&self, resource: &str) -> Value {
        let resources = &self.whole["Resources"];
        assert!(resources.get(resource).is_some(), "{} has no resource {resource}", self.name);
        self.value(&resources[resource]["Properties"]).unwrap_or_default()
    }

    /// Returns the resources of a type, with their properties.
    pub(crate) fn of_type(&self, kind: &str) -> Vec<(String, Value)> {
        let resources = self.whole["Resources"].as_mapping().expect("resources");
        let resources = resources.iter().filter(|(_, resource)| resource["Type"].as_str() == Some(kind));
        let names = resources.map(|(name, _)| name.as_str().expect("a name").to_owned());
        names.map(|name| (name.clone(), self.properties(&name))).collect()
    }

    /// Returns a value with its functions evaluated, or `None` for `AWS::NoValue`. A reference that
    /// only AWS can resolve becomes its name.
    fn value(&self, value: &Yaml) -> Option<Value> {
        match value {
            Yaml::Tagged(tagged) => self.function(tagged.tag.to_string().trim_start_matches('!'), &tagged.value),
            Yaml::Sequence(values) => Some(values.iter().filter_map(|value| self.value(value)).collect()),
            Yaml::Mapping(fields) => {
                let key = |key: &Yaml| key.as_str().expect("a text as key").to_owned();
                let fields = fields.iter().filter_map(|(name, value)| Some((key(name), self.value(value)?)));
                Some(Value::Object(fields.collect::<Map<_, _>>()))
            }
            Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::String(_) => {
                Some(serde_json::to_value(value).expect("a plain value"))
            }
        }
    }

    fn function(&self, name: &str, argument: &Yaml) -> Option<Value> {
        let text = || argument.as_str().expect("a text").to_owned();
        match name {
            "Ref" if text() == "AWS::NoValue" => None,
            "Ref" => Some(self.parameters.get(&text()).cloned().unwrap_or_else(|| text().into())),
            "GetAtt" => Some(text().into()),
            "Sub" => Some(self.filled_in(&text()).into()),
            "If" => self.value(&argument[if self.holds(&self.whole["Conditions"][&argument[0]]) { 1 } else { 2 }]),
            _ => panic!("{}: function {name} is not supported by these tests", self.name),
        }
    }

    fn holds(&self, condition: &Yaml) -> bool {
        let Yaml::Tagged(tagged) = condition else { panic!("{}: a condition without a function", self.name) };
        match tagged.tag.to_string().as_str() {
            "!Equals" => self.value(&tagged.value[0]) == self.value(&tagged.value[1]),
            "!Not" => !self.holds(&tagged.value[0]),
            other => panic!("{}: condition {other} is not supported by these tests", self.name),
        }
    }

    /// Returns the text with every `${…}` replaced.
    fn filled_in(&self, text: &str) -> String {
        let mut parts = text.split("${");
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').expect("a closing brace");
            match self.parameters.get(name) {
                Some(value) => filled.push_str(&plain(value)),
                None => filled.push_str(name),
            }
            filled.push_str(rest);
        }
        filled
    }
}

/// Returns a text, number or boolean as text, because CloudFormation converts between them.
pub(crate) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
